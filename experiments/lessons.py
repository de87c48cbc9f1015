"""What the lessons that made the shipped weights have in common: the configs `tiny_1` to `tiny_28`.

Each starts from the weights of the one before, with Muon, in a process of its own that draws pictures.
"""

from dataclasses import replace
from typing import Literal

from sam_jax.checkpoints.recognition import with_image_size, without_details
from sam_jax.data.augmentation import MICROGRAPHS, Augmentation
from sam_jax.data.pasting import Pasting
from sam_jax.models import TINY, SamConfig
from sam_jax.training.config import DataConfig, Execution, Reporting, Stored, Synthetic, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig, StepDecay

STEADY = StepDecay(milestones=())
"""The rate stays as it is after warm-up."""

LIKE_SAM = without_details(TINY)
"""The model up to `tiny_14`; `experiments.add_details` adds what it lacks."""
Stage = Literal["details", "click_maps", "geodesics", "mask_scoring"]
_UNSCORED = replace(TINY, mask_decoder=replace(TINY.mask_decoder, mask_scoring=False))
_WITHOUT_GEODESICS = replace(_UNSCORED, image_encoder=replace(TINY.image_encoder, step_costs=0))
STAGES: dict[Stage, SamConfig] = {
    "details": replace(
        _WITHOUT_GEODESICS, mask_decoder=replace(_UNSCORED.mask_decoder, click_maps=False)
    ),
    "click_maps": _WITHOUT_GEODESICS,
    "geodesics": _UNSCORED,
    "mask_scoring": TINY,
}
"""The models of `tiny_15`, of `tiny_16`, of `tiny_17` to `tiny_20`, and of those after them."""

NEW_LAYERS_FASTER = (("*/geodesics_*", 8.0), ("*/click_maps_*", 8.0), ("*/step_costs/*", 4.0))
"""Layers that start at zero, with few inputs: at the rate of all they stay near it for thousands of steps."""
SCORING_FASTER = (("*/mask_scoring/*", 4.0),)
"""It starts at zero, too, and nothing else waits for it."""

FLAT = Augmentation(flip_horizontally=True, scale=(0.8, 1.6), min_cells=8, area_power=0.2)
"""Of flat shapes."""
SCENES = Augmentation(
    flip_horizontally=True, scale=(0.8, 2.4), colour=0.2, min_cells=10, area_power=0.3
)
"""Of drawn scenes."""


def micrographs(*, weight: float = 0.15, scale: tuple[float, float] = (0.8, 3.0)) -> Stored:
    """BBBC038 without every fifth image."""
    augmentation = replace(MICROGRAPHS, scale=scale, min_cells=10)
    return Stored(path="data/bbbc038", weight=weight, hold_back=5, augmentation=augmentation)


def scenes_like_photos(
    *, weight: float, seed: int, size: tuple[int, int], repeat: int | None = None
) -> Synthetic:
    """Drawn scenes whose surfaces may be cut from the photos, and a few flat shapes."""
    return Synthetic(
        weight=weight,
        seed=seed,
        size=size,
        plain=0.1,
        plain_contrast=0.7,
        repeat=repeat,
        textures="runs/photos/regions",
        augmentation=SCENES,
    )


def photos(*, regions: float, objects: float) -> tuple[Stored, Stored]:
    """What `experiments.lesson_photos` wrote, with these weights."""
    return (
        Stored(
            path="runs/photos/regions",
            weight=regions,
            augmentation=replace(SCENES, scale=(0.8, 3.0), colour=0.4, area_power=0.5),
        ),
        Stored(
            path="runs/photos/objects",
            weight=objects,
            augmentation=replace(SCENES, scale=(0.8, 2.0), colour=0.4),
        ),
    )


def surroundings(*, weight: float) -> Stored:
    """What things of the photos stand in front of."""
    large = replace(SCENES, scale=(0.8, 2.0), colour=0.4, area_power=1.0)
    return Stored(path="runs/photos/surroundings", weight=weight, augmentation=large)


LARGE_THINGS = replace(SCENES, scale=(0.8, 2.0), colour=0.4, min_cells=6, area_power=0.5)
"""Of photos with outlined things: masks of wholes more often than those of their parts."""


def things(*, weight: float) -> Stored:
    """Photos whose things were outlined for the lessons."""
    return Stored(path="runs/photos/things", weight=weight, augmentation=LARGE_THINGS)


ANY_THINGS = Pasting(path="runs/photos/things")
"""Parts as often as wholes."""
WHOLE_THINGS = replace(ANY_THINGS, sizes=(0.1, 1.1), area_power=0.5, together=0.3)
"""Rather wholes than parts, smaller and larger ones; some stand over each other, as one."""
VARIED_THINGS = replace(WHOLE_THINGS, turn=25.0, stretch=1.5)
"""The same in other forms."""


def pasted_things(
    photos: Stored, *, scenes: float, seed: int, pasting: Pasting = ANY_THINGS
) -> tuple[Stored, Synthetic]:
    """The same things before these photos, and in drawn scenes."""
    return (
        replace(photos, augmentation=LARGE_THINGS, pasting=pasting),
        replace(
            scenes_like_photos(weight=scenes, seed=seed, size=(384, 512)),
            augmentation=replace(LARGE_THINGS, colour=0.2),
            pasting=pasting,
        ),
    )


def small_things(
    *, scenes: float, regions: float, objects: float, seed: int
) -> tuple[Synthetic, Stored, Stored]:
    """Drawn scenes and photos with masks down to three cells, all of them as likely as large ones."""
    small = replace(SCENES, scale=(0.8, 3.0), colour=0.4, min_cells=3, area_power=0.0)
    return (
        replace(
            scenes_like_photos(weight=scenes, seed=seed, size=(384, 512)),
            augmentation=replace(small, colour=0.2),
        ),
        Stored(path="runs/photos_small/regions", weight=regions, augmentation=small),
        Stored(path="runs/photos_small/objects", weight=objects, augmentation=small),
    )


def lesson(
    *sources: Synthetic | Stored,
    after: str,
    side: int,
    steps: int,
    rate: float,
    decay: CosineDecay | StepDecay,
    warmup_steps: int = 10,
    batch_size: int = 8,
    masks: int,
    seed: int = 0,
    rounds: int = 1,
    box_share: float = 0.2,
    box_jitter_limit: float = 5.0,
    centre_share: float = 0.0,
    model: SamConfig = TINY,
    rate_factors: tuple[tuple[str, float], ...] = (),
) -> TrainConfig:
    """A lesson.

    Args:
        sources: of its pictures.
        after: the file of the weights it starts from.
        side: of the model's input in pixels.
        steps: how long it is.
        rate: learning rate at the end of warm-up.
        decay: how the rate falls after that.
        warmup_steps: over which it rises.
        batch_size: pictures of a step.
        masks: of a picture.
        seed: of what is drawn about the pictures.
        rounds: prompts of a mask, the first one among them.
        box_share: of first prompts that are boxes.
        box_jitter_limit: how far the boxes are off, in pixels.
        centre_share: of points in the middle of what they are for.
        model: for any input.
        rate_factors: of the rate, by patterns of paths.
    """
    return TrainConfig(
        model=with_image_size(model, (side, side)),
        start_from=after,
        data=DataConfig(sources=sources, batch_size=batch_size, masks_per_image=masks, seed=seed),
        steps=steps,
        optimiser=OptimiserConfig(
            method="muon",
            rate=rate,
            warmup_steps=warmup_steps,
            decay=decay,
            weight_decay=0.05,
            layer_decay=1.0,
            rate_factors=rate_factors,
        ),
        interaction=Interaction(
            iterations=rounds,
            refine_iterations=0,
            box_share=box_share,
            box_jitter_limit=box_jitter_limit,
            centre_share=centre_share,
        ),
        execution=Execution(data_workers=1),
        reporting=Reporting(pictures_every=250, states_every=100, weights_every=500),
    )
