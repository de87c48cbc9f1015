import pytest

from sam_jax.distributed.chips import find_chip
from sam_jax.plan.roofline import find_duration, find_roofline


def test_the_slowest_of_three_binds():
    v5e = find_chip("TPU v5e")
    times = find_roofline(v5e, flops=19.7e12, moved=81.9e9, received=60e9)
    assert times == pytest.approx((0.1, 0.1, 0.3))
    assert (times.bound, times.seconds) == ("network", pytest.approx(0.3))
    assert find_roofline(v5e, 197e12, 819e9 / 2, 0.0).bound == "compute"
    assert find_roofline(v5e, 0.0, 819e9, 1.0).bound == "memory"


def test_days_and_chip_hours_of_a_schedule():
    days, hours = find_duration(0.96, steps=90_000, chips=256)
    assert days == pytest.approx(1.0)
    assert hours == pytest.approx(24 * 256)
