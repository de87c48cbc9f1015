import pytest

from sam_jax.distributed.chips import CHIPS, find_chip, read_topology
from sam_jax.types import InputError


@pytest.mark.parametrize(
    ("name", "size", "chip", "platform"),
    [
        ("v5e:8x16", 128, "v5e", "tpu"),
        ("v5p:8x8x4", 256, "v5p", "tpu"),
        ("h100:24", 24, "h100", "gpu"),
        ("a100-40:8", 8, "a100-40", "gpu"),
        ("cpu:3", 3, None, "cpu"),
    ],
)
def test_topologies_have_names(name, size, chip, platform):
    topology = read_topology(name)
    assert topology.size == size
    assert (topology.chip and topology.chip.name) == chip
    assert topology.platform == platform


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v7:4x4", "no chip 'v7' is known; there are v4, v5e"),
        ("v5e", "after v5e come a colon and its numbers of chips, as in v5e:4x8"),
        ("v5e:256", "as in v5e:4x8"),
        ("v5p:16x16", "as in v5p:4x4x8"),
        ("v5e:4x0", "as in v5e:4x8"),
        ("h100:two", "after h100 come a colon and a number, as in h100:8"),
        ("", "no chip ''"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(InputError) as caught:
        read_topology(name)
    assert message in str(caught.value)


def test_devices_are_found_by_what_jax_calls_them():
    assert find_chip("TPU v5 lite").flops == 197e12
    assert find_chip("TPU v5").flops == 459e12
    assert find_chip("NVIDIA H200").bandwidth == 4.8e12
    assert find_chip("cpu") is None
    kinds = [kind for chip in CHIPS for kind in chip.kinds]
    assert len(kinds) == len(set(kinds))
    assert all(chip.sources for chip in CHIPS)
