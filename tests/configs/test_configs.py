"""The runs that come with the package: they can be read, and those on SA-1B have the paper's numbers."""

import importlib
import pkgutil

import pytest

import sam_jax.configs
from sam_jax.configs import finetune_bbbc038, sa1b_vit_b, sa1b_vit_h, sa1b_vit_l
from sam_jax.models import VIT_B, VIT_H, VIT_L
from sam_jax.training.config import TrainConfig

NAMES = [module.name for module in pkgutil.iter_modules(sam_jax.configs.__path__)]


@pytest.mark.parametrize("name", NAMES)
def test_a_config_says_how_to_run_it(name):
    module = importlib.import_module(f"sam_jax.configs.{name}")
    assert isinstance(module.config, TrainConfig)
    assert f"`sam-jax train {name}" in module.__doc__


@pytest.mark.parametrize(
    ("module", "model", "batch_size", "steps", "rate", "milestones", "layer_decay", "drop_path"),
    [
        (sa1b_vit_h, VIT_H, 256, 90_000, 8e-4, (60_000, 86_666), 0.8, 0.4),
        (sa1b_vit_l, VIT_L, 128, 180_000, 4e-4, (120_000, 173_332), 0.8, 0.4),
        (sa1b_vit_b, VIT_B, 128, 180_000, 8e-4, (120_000, 173_332), 0.6, 0.6),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_recipe_of_the_paper(
    module, model, batch_size, steps, rate, milestones, layer_decay, drop_path
):
    config = module.config
    assert config.model == model
    assert (config.data.batch_size, config.data.masks_per_image) == (batch_size, 64)
    assert (config.steps, config.drop_path) == (steps, drop_path)
    optimiser = config.optimiser
    assert (optimiser.rate, optimiser.decay.milestones) == (rate, milestones)
    assert (optimiser.layer_decay, optimiser.weight_decay, optimiser.warmup_steps) == (
        layer_decay,
        0.1,
        250,
    )
    assert config.interaction == type(config.interaction)()  # its defaults are the paper's
    assert config.execution.parameters == "sharded"
    assert config.start_from is None


def test_fine_tuning_keeps_the_encoder_and_holds_images_out():
    config = finetune_bbbc038.config
    assert config.frozen == ("image_encoder/*",)
    assert config.cache_embeddings
    assert config.data.sources[0].hold_back == 5
