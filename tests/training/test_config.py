import dataclasses

import pytest

from sam_jax.data.augmentation import PHOTOS
from sam_jax.training.config import (
    DataConfig,
    Execution,
    Reporting,
    Stored,
    Synthetic,
    TrainConfig,
)
from sam_jax.training.config_differences import describe_config, find_differences
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig, StepDecay
from sam_jax.types import InputError

from .conftest import CONFIG, MINIATURE

STEPS = OptimiserConfig(warmup_steps=2, decay=StepDecay(milestones=(10, 30)))


def changed(**settings):
    return lambda: dataclasses.replace(CONFIG, **settings)


def data(**settings):
    return lambda: dataclasses.replace(CONFIG.data, **settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (changed(steps=0), "steps is at least 1, not 0"),
        (changed(steps=2), "a run of 2 steps ends within warmup_steps 2"),
        (changed(optimiser=STEPS), r"milestones \[30\] are not between warmup_steps 2 and steps 20"),
        (changed(drop_path=1.0), "drop_path is from 0 to below 1"),
        (changed(execution=Execution(micro_batches=3)), "batch_size 16 cannot be divided into micro_batches 3"),
        (
            changed(
                cache_embeddings=True,
                data=DataConfig(
                    sources=(Synthetic(augmentation=PHOTOS),), batch_size=16, masks_per_image=1
                ),
            ),
            "cache_embeddings needs images that stay the same",
        ),
        (changed(cache_embeddings=True, drop_path=0.1), "leaves no encoder to apply drop_path in"),
        (data(sources=()), "sources is empty"),
        (data(batch_size=0), "batch_size is at least 1, not 0"),
        (changed(data=dataclasses.replace(CONFIG.data, masks_per_image=0)), "learns from masks"),
        (data(sources=(Synthetic(weight=0.0),)), "every source has a weight above 0"),
        (lambda: Stored(path="x", hold_back=1), "hold_back is 0, or 2 and more, not 1"),
        (lambda: Execution(micro_batches=0), "micro_batches is at least 1, not 0"),
        (lambda: Execution(sharded_over=4), 'sharded_over is for parameters="sharded"'),
        (
            lambda: Execution(parameters="sharded", sharded_over=0),
            "sharded_over is at least 1, not 0",
        ),
        (lambda: Reporting(states_kept=0), "states_kept is at least 1, not 0"),
        (lambda: Reporting(pictures_every=-1), "pictures_every is at least 0"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_differences_name_the_setting_and_both_values():
    other = dataclasses.replace(
        CONFIG,
        seed=3,
        frozen=("image_encoder/*",),
        optimiser=OptimiserConfig(rate=1e-4, warmup_steps=2, decay=CosineDecay()),
        data=dataclasses.replace(CONFIG.data, sources=(Synthetic(), Stored(path="nuclei"))),
    )
    differences = find_differences(describe_config(CONFIG), describe_config(other))
    assert "seed was 0 and is now 3" in differences
    assert "frozen was [] and is now ['image_encoder/*']" in differences
    assert "optimiser.rate was 0.001 and is now 0.0001" in differences
    assert "data.sources.1.path was not set and is now nuclei" in differences
    assert "data.sources.0.size was [64, 96] and is now [384, 512]" in differences


def test_how_a_run_is_computed_and_reported_may_change():
    other = dataclasses.replace(
        CONFIG,
        execution=Execution(micro_batches=2, parameters="sharded"),
        reporting=Reporting(metrics_every=1),
    )
    assert find_differences(describe_config(CONFIG), describe_config(other)) == []


def test_a_config_is_a_value():
    assert hash(CONFIG) == hash(dataclasses.replace(CONFIG))
    assert (
        TrainConfig(model=MINIATURE, data=CONFIG.data, steps=90_000).optimiser == OptimiserConfig()
    )
