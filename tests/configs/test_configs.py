"""The runs that come with the package: they can be read, and those on SA-1B have the paper's numbers."""

import importlib
import pkgutil
from dataclasses import replace

import pytest

import sam_jax.configs
from sam_jax.configs import (
    finetune_bbbc038,
    mae_tiny,
    mae_vit_b,
    mae_vit_h,
    mae_vit_l,
    sa1b_vit_b,
    sa1b_vit_h,
    sa1b_vit_h_text,
    sa1b_vit_l,
)
from sam_jax.models import TINY, VIT_B, VIT_H, VIT_L
from sam_jax.models.clip import CLIP_VIT_L_14_336
from sam_jax.training.config import RunSettings

NAMES = [module.name for module in pkgutil.iter_modules(sam_jax.configs.__path__)]


@pytest.mark.parametrize("name", NAMES)
def test_a_config_says_how_to_run_it(name):
    module = importlib.import_module(f"sam_jax.configs.{name}")
    assert isinstance(module.config, RunSettings)
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


def test_training_with_text_is_the_papers():
    config = sa1b_vit_h_text.config
    text_width = CLIP_VIT_L_14_336.width
    encoder = replace(VIT_H.prompt_encoder, text_width=text_width)
    assert config.model == replace(VIT_H, prompt_encoder=encoder)
    assert (config.steps, config.data.batch_size) == (120_000, 128)
    assert config.data.sources[0].augmentation.scale == (0.1, 2.0)
    assert (config.text.least_area, config.text.most_growth) == (100**2, 2.0)
    assert not config.text.only_projection
    assert config.interaction.text_alone_share == 1


def test_fine_tuning_keeps_the_encoder_and_holds_images_out():
    config = finetune_bbbc038.config
    assert config.frozen == ("image_encoder/*",)
    assert config.cache_embeddings
    assert config.data.sources[0].hold_back == 5


@pytest.mark.parametrize("module", [mae_vit_b, mae_vit_l, mae_vit_h])
def test_pre_training_is_the_papers(module):
    config, optimiser = module.config, module.config.optimiser
    assert (config.model.image_size, config.model.patch_size) == (
        (224, 224),
        14 if module is mae_vit_h else 16,
    )
    decoder = config.model.decoder
    assert (decoder.width, decoder.depth, decoder.num_heads) == (512, 8, 16)
    assert (config.mask_ratio, config.data.batch_size) == (0.75, 4096)
    assert optimiser.rate == pytest.approx(1.5e-4 * config.data.batch_size / 256)
    assert (optimiser.beta1, optimiser.beta2, optimiser.weight_decay) == (0.9, 0.95, 0.05)
    assert (optimiser.layer_decay, optimiser.clip_norm) == (1.0, None)
    epoch = 1_281_167 / config.data.batch_size
    assert config.steps == pytest.approx(800 * epoch, rel=1e-3)
    assert optimiser.warmup_steps == pytest.approx(40 * epoch, rel=1e-3)
    augmentation = config.data.sources[0].augmentation
    assert (augmentation.crop_area, augmentation.flip_horizontally) == ((0.2, 1.0), True)


def test_the_small_model_starts_from_its_own_pre_training():
    encoder, pretrained = TINY.image_encoder, mae_tiny.config.model.encoder
    for name in ("width", "depth", "num_heads", "mlp_ratio"):
        assert getattr(encoder, name) == getattr(pretrained, name)
