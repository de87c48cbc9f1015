"""The stages of the recipe, a row each; every stage starts from the weights of the one before."""

from dataclasses import dataclass, replace

from experiments.tiny.sources import Mixture
from sam_jax.models import TINY, SamConfig

LIKE_SAM = replace(TINY, fine=None)
"""The part of the model that Segment Anything has, too."""
NEW_LAYERS_FASTER = (
    ("*/geodesics_*", 8.0),
    ("*/click_maps_*", 8.0),
    ("*/step_costs/*", 4.0),
    ("*/mask_scoring/*", 4.0),
)
"""Layers that start at zero: at the learning rate of the others they stay near it for thousands of steps."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A row of the recipe.

    Attributes:
        name: Name of the stage, of its folder and of the file of its weights.
        side: Side of the model's square input in pixels.
        steps: Number of training steps.
        rate: Learning rate at the end of warm-up.
        last_rate: Learning rate at the last step, as a share of `rate`; it falls like half a cosine.
        mixture: Mixture of the sources.
        masks: Number of masks drawn from each picture.
        warmup_steps: Number of steps over which the learning rate rises.
        iterations: Number of prompts of a mask: the first one, then corrections.
        centre_share: Share of the points in the middle of the mask or of the error, where people click.
        model: Sizes of the model. What it has beyond the model of the stage before is added with layers at zero, so
            that it first computes the same.
        rate_factors: Factors of the learning rate, by patterns of parameters.
        kept: Share of the weights that the stage started from in the weights that it leaves, between 0 and 1
            (Wortsman et al. 2022, "Model soups", https://arxiv.org/abs/2203.05482).
    """

    name: str
    side: int
    steps: int
    rate: float
    last_rate: float
    mixture: Mixture
    masks: int
    warmup_steps: int = 20
    iterations: int = 1
    centre_share: float = 0.0
    model: SamConfig = LIKE_SAM
    rate_factors: tuple[tuple[str, float], ...] = ()
    kept: float = 0.0


STAGES = (
    # Flat shapes first: from scenes alone, the model drew the same blob around every click for 22,000 pictures.
    Stage(
        name="flat_shapes",
        side=128,
        steps=820,
        rate=2e-3,
        last_rate=1.0,
        mixture=Mixture(flat=1.0),
        masks=10,
        warmup_steps=100,
    ),
    Stage(
        name="weak_textures",
        side=128,
        steps=190,
        rate=8e-4,
        last_rate=1.0,
        mixture=Mixture(textured=1.0),
        masks=10,
    ),
    Stage(
        name="scenes_128",
        side=128,
        steps=560,
        rate=1e-3,
        last_rate=1.0,
        mixture=Mixture(scenes=1.0, micrographs=0.1),
        masks=10,
    ),
    Stage(
        name="scenes_256",
        side=256,
        steps=2000,
        rate=1e-3,
        last_rate=0.3,
        mixture=Mixture(scenes=1.0, micrographs=0.15),
        masks=10,
    ),
    Stage(
        name="scenes_384",
        side=384,
        steps=400,
        rate=1e-3,
        last_rate=0.0,
        mixture=Mixture(scenes=1.0, micrographs=0.15),
        masks=8,
        iterations=2,
    ),
    Stage(
        name="photos_256",
        side=256,
        steps=2000,
        rate=1e-3,
        last_rate=0.05,
        mixture=Mixture(photo_scenes=0.3, micrographs=0.15, regions=1.2, objects=0.4),
        masks=12,
    ),
    # Masks below 128 square pixels had not been shown so far.
    Stage(
        name="small_384",
        side=384,
        steps=900,
        rate=5e-4,
        last_rate=0.0,
        mixture=Mixture(
            micrographs=0.15,
            regions=0.7,
            objects=0.3,
            small_scenes=0.3,
            small_regions=0.35,
            small_objects=0.4,
        ),
        masks=8,
        iterations=2,
        kept=0.5,
    ),
    Stage(
        name="fine_256",
        side=256,
        steps=3400,
        rate=1e-3,
        last_rate=0.1,
        mixture=Mixture(
            photo_scenes=0.3,
            micrographs=0.15,
            regions=0.6,
            objects=0.7,
            surroundings=0.6,
            small_scenes=0.1,
            small_regions=0.35,
            small_objects=0.3,
        ),
        masks=12,
        model=TINY,
        rate_factors=NEW_LAYERS_FASTER,
    ),
    Stage(
        name="pasted_256",
        side=256,
        steps=2300,
        rate=1e-3,
        last_rate=0.1,
        mixture=Mixture(
            photo_scenes=0.3,
            micrographs=0.12,
            regions=0.25,
            objects=0.35,
            surroundings=0.35,
            small_scenes=0.08,
            small_regions=0.2,
            small_objects=0.25,
            things=0.7,
            pasted_photos=0.6,
            pasted_scenes=0.5,
        ),
        masks=12,
        centre_share=0.7,
        model=TINY,
        rate_factors=NEW_LAYERS_FASTER,
    ),
    Stage(
        name="pasted_512",
        side=512,
        steps=960,
        rate=6e-4,
        last_rate=0.0,
        mixture=Mixture(
            photo_scenes=0.3,
            micrographs=0.15,
            regions=0.3,
            objects=0.35,
            surroundings=0.35,
            small_scenes=0.08,
            small_regions=0.2,
            small_objects=0.3,
            things=0.7,
            pasted_photos=0.5,
            pasted_scenes=0.4,
        ),
        masks=6,
        iterations=2,
        centre_share=0.7,
        model=TINY,
        rate_factors=NEW_LAYERS_FASTER,
        kept=0.25,
    ),
)
