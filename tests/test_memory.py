"""Sizes that no machine has memory for are refused before any is asked for."""

import tracemalloc

import pytest

from sam_jax.data.loader import LoaderConfig
from sam_jax.inference.automatic import SamAutomaticMaskGenerator
from sam_jax.inference.crops import make_point_grid, plan_crops
from sam_jax.inference.loading import load
from sam_jax.memory import require_memory
from sam_jax.models import TINY, Compute, Model
from sam_jax.types import InputError


def test_what_a_machine_has_not():
    require_memory(1e6, "a photo")
    with pytest.raises(InputError, match=r"a photo needs 1,000,000,000 GB of memory or more"):
        require_memory(1e18, "a photo")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: load(image_size=160_000), "image size 160000x160000 needs"),
        (lambda: load(image_size=(16, 1_600_000_000)), "image size 16x1600000000 needs"),
        (lambda: LoaderConfig(frame=(64, 96), batch_size=10**12, num_masks=1), "a batch of 1000"),
        (lambda: LoaderConfig(frame=(64, 96), batch_size=1, num_masks=10**12), "1000000000000 ma"),
        (lambda: make_point_grid(10**20), "points_per_side 10000"),
        (lambda: plan_crops((480, 640), 10, 0.3), "crop_n_layers 10 is more than 6"),
    ],
)
def test_absurd_sizes(ask, message):
    tracemalloc.start()
    with pytest.raises(InputError, match=message):
        ask()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize(
    "arguments",
    [
        {"points_per_side": 10**20},
        {"points_per_side": 10**400},
        {"crop_n_layers": 10},
        {"crop_n_layers": -1},
        {"crop_n_points_downscale_factor": 0},
        {"images_per_batch": 10**9},
    ],
)
def test_absurd_arguments_of_the_generator(arguments):
    with pytest.raises(InputError):
        SamAutomaticMaskGenerator(Model(TINY, {}, Compute()), **arguments)


def test_more_points_at_once_than_there_are():
    generator = SamAutomaticMaskGenerator(
        Model(TINY, {}, Compute()), points_per_side=3, points_per_batch=10**9
    )
    assert generator.points_per_batch == 9
