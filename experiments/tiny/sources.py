"""What the stages train on: drawn pictures, micrographs, and photos whose terms allow it."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sam_jax.data.augmentation import MICROGRAPHS, Augmentation
from sam_jax.data.pasting import Pasting
from sam_jax.training.config import Stored, Synthetic

FOR_SCENES = Augmentation(
    flip_horizontally=True, scale=(0.8, 2.4), colour=0.2, min_cells=10, area_power=0.3
)
"""The augmentation of drawn scenes; those of the other sources are variations."""
FOR_FLAT = replace(FOR_SCENES, scale=(0.8, 1.6), colour=0.0, min_cells=8, area_power=0.2)
"""The augmentation of flat shapes."""
FOR_PHOTOS = replace(FOR_SCENES, scale=(0.8, 2.0), colour=0.4)
"""The augmentation of photos."""
SMALL_MASKS = replace(FOR_PHOTOS, scale=(0.8, 3.0), min_cells=3, area_power=0.0)
"""The augmentation that shows masks down to three cells, as often as large ones."""
LARGE_MASKS = replace(FOR_PHOTOS, min_cells=6, area_power=0.5)
"""The augmentation that shows wholes more often than their parts."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How often each source is drawn, relative to the others; 0 leaves it out.

    Attributes:
        flat: Flat shapes in plain colours.
        textured: Flat shapes with weak textures.
        scenes: Drawn scenes, and some flat shapes with strong textures.
        micrographs: Micrographs of BBBC038, without every fifth.
        photo_scenes: Drawn scenes whose surfaces may be cut from the photos.
        regions: Photos with the regions that a segmentation finds in them.
        objects: Photos with the outlines of objects.
        surroundings: Photos with what objects stand in front of.
        small_scenes: `photo_scenes`, with small masks as often as large ones.
        small_regions: Photos with small regions as often as large ones.
        small_objects: `objects`, with small masks as often as large ones.
        things: Photos with things outlined for this recipe, rather wholes than parts.
        pasted_photos: Photos with their surroundings, into which the outlined things are pasted.
        pasted_scenes: `photo_scenes`, into which the outlined things are pasted.
    """

    flat: float = 0.0
    textured: float = 0.0
    scenes: float = 0.0
    micrographs: float = 0.0
    photo_scenes: float = 0.0
    regions: float = 0.0
    objects: float = 0.0
    surroundings: float = 0.0
    small_scenes: float = 0.0
    small_regions: float = 0.0
    small_objects: float = 0.0
    things: float = 0.0
    pasted_photos: float = 0.0
    pasted_scenes: float = 0.0


def make_sources(
    mixture: Mixture, *, seed: int, data: Path, photos: Path
) -> tuple[Synthetic | Stored, ...]:
    """Sources of a training run.

    Args:
        mixture: Weights of the sources.
        seed: Seed of the drawn pictures, which differ from one seed to the next.
        data: Folder of the data sets.
        photos: Folder that `experiments.tiny.photos` wrote.
    """
    flat = Synthetic(seed=seed, size=(144, 192), plain=1.0, augmentation=FOR_FLAT)
    scenes = Synthetic(
        seed=3 * seed, size=(384, 512), plain=0.3, plain_contrast=0.7, augmentation=FOR_SCENES
    )
    photo_scenes = replace(scenes, plain=0.1, textures=str(photos / "regions"))
    objects = Stored(path=str(photos / "objects"), augmentation=FOR_PHOTOS)
    surroundings = Stored(
        path=str(photos / "surroundings"), augmentation=replace(FOR_PHOTOS, area_power=1.0)
    )
    things = Stored(path=str(photos / "things"), augmentation=LARGE_MASKS)
    pasting = Pasting(
        path=things.path, sizes=(0.1, 1.1), area_power=0.5, together=0.3, turn=25.0, stretch=1.5
    )
    sources: dict[str, Synthetic | Stored] = {
        "flat": flat,
        "textured": replace(flat, plain_contrast=0.3),
        "scenes": scenes,
        "micrographs": Stored(
            path=str(data / "bbbc038"),
            hold_back=5,
            augmentation=replace(MICROGRAPHS, scale=(0.8, 3.0), min_cells=10),
        ),
        "photo_scenes": photo_scenes,
        "regions": Stored(
            path=str(photos / "regions"),
            augmentation=replace(FOR_PHOTOS, scale=(0.8, 3.0), area_power=0.5),
        ),
        "objects": objects,
        "surroundings": surroundings,
        "small_scenes": replace(
            photo_scenes, seed=3 * seed + 1, augmentation=replace(SMALL_MASKS, colour=0.2)
        ),
        "small_regions": Stored(path=str(photos / "small_regions"), augmentation=SMALL_MASKS),
        "small_objects": replace(objects, augmentation=SMALL_MASKS),
        "things": things,
        "pasted_photos": replace(surroundings, augmentation=LARGE_MASKS, pasting=pasting),
        "pasted_scenes": replace(
            photo_scenes,
            seed=3 * seed + 2,
            augmentation=replace(LARGE_MASKS, colour=0.2),
            pasting=pasting,
        ),
    }
    return tuple(
        replace(sources[name], weight=weight) for name, weight in asdict(mixture).items() if weight
    )
