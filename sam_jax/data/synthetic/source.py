"""A data set of drawn pictures with exact masks."""

import functools
from pathlib import Path

import cv2
import numpy as np

from sam_jax.data.example import Example
from sam_jax.data.images import read_image
from sam_jax.data.synthetic.camera import light_scene, take_photo
from sam_jax.data.synthetic.canvas import ROOT, Canvas
from sam_jax.data.synthetic.materials import Surfaces, sample_lighting
from sam_jax.data.synthetic.micrographs import paint_micrograph
from sam_jax.data.synthetic.plain import draw_plain
from sam_jax.data.synthetic.scenes import add_thing, compose_scene
from sam_jax.data.synthetic.selection import choose_masks, split_regions
from sam_jax.data.synthetic.textures import CLOUDS, texture_bank
from sam_jax.types import InputError

# Worker processes are the parallelism; OpenCV's own threads would fight them, and do not survive a fork.
cv2.setNumThreads(1)

MIN_MASKS, MAX_MASKS = 5, 40
MICROGRAPHS = 0.08
"""Share of the pictures that are micrographs."""

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LONGEST_PHOTO_SIDE = 768


class SyntheticSource:
    """Drawn scenes as a random-access data set: example i depends on the seed and on i only.

    Args:
        seed: Seed of the textures and of every example.
        length: Number of examples.
        size: Height and width of a picture in pixels.
        textures: Folder of photos whose pieces serve as textures beside the procedural ones.
        plain: Share of the pictures that show only flat shapes, between 0 and 1.
        plain_contrast: Largest contrast of the textures of flat shapes, as a share of their brightness; 0 gives plain
            colours.
        remember: Whether drawn examples are kept in memory, at about 2 bytes for each pixel and channel.

    Raises:
        InputError: The seed is below 0, a side below 64 pixels, `plain` not a share, or the folder holds no photos.
    """

    def __init__(
        self,
        seed: int = 0,
        length: int = 1_000_000,
        size: tuple[int, int] = (384, 512),
        textures: Path | None = None,
        plain: float = 0.0,
        plain_contrast: float = 0.0,
        remember: bool = False,
    ):
        if seed < 0 or length < 1 or min(size) < 64:
            raise InputError(
                "a synthetic source needs a seed from 0, a length from 1 and sides from 64 pixels, "
                f"not seed {seed}, length {length}, size {size}"
            )
        if not 0 <= plain <= 1:
            raise InputError(f"plain must be a share from 0 to 1, not {plain:g}")
        self.seed = seed
        self.plain, self.plain_contrast = plain, plain_contrast
        self.length = length
        self.size = size
        self.photos = _find_photos(textures) if textures is not None else ()
        self._remembered: dict[int, Example] | None = {} if remember else None

    @property
    def name(self) -> str:
        """The name of the data set in messages."""
        return f"synthetic-{self.seed}"

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.length:
            raise IndexError(f"{self.name} has {self.length} examples; there is no number {index}")
        if self._remembered is None:
            return self._draw(index)
        if index not in self._remembered:
            self._remembered[index] = self._draw(index)
        return self._remembered[index]

    def _draw(self, index: int) -> Example:
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, int(index))))
        if self.plain and rng.random() < self.plain:
            bank = texture_bank(self.seed) if self.plain_contrast else []
            photo, regions = draw_plain(rng, self.size, bank, self.plain_contrast)
            alone = [ROOT] * (int(regions.max()) + 1)
            masks = choose_masks(regions, alone, MAX_MASKS, rng)
            return Example(f"{self.name}/{index}", photo, masks)
        surfaces = Surfaces(
            texture_bank(self.seed), _sample_photos(rng, self.photos), sample_lighting(rng)
        )
        canvas = Canvas(self.size, surfaces.lighting)
        is_micrograph = rng.random() < MICROGRAPHS
        if is_micrograph:
            paint_micrograph(rng, canvas, surfaces)
        else:
            compose_scene(rng, canvas, surfaces)
        labels, parents = canvas.labels, canvas.parents
        masks = choose_masks(labels, parents, MAX_MASKS, rng)
        while len(masks) < MIN_MASKS:
            add_thing(rng, canvas, surfaces)
            masks = choose_masks(labels, parents, MAX_MASKS, rng)
        split_regions(labels, parents, canvas.regions)
        masks = choose_masks(labels, parents, MAX_MASKS, rng)
        colours = light_scene(rng, canvas.colours, surfaces.bank[CLOUDS])
        return Example(
            f"{self.name}/{index}", take_photo(rng, colours, is_metered=not is_micrograph), masks
        )


def _find_photos(folder: Path) -> tuple[Path, ...]:
    photos = tuple(sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES))
    if not photos:
        raise InputError(
            f"{folder} holds no photos ({', '.join(PHOTO_SUFFIXES)}) to take textures from"
        )
    return photos


def _sample_photos(rng: np.random.Generator, photos: tuple[Path, ...]) -> list[np.ndarray]:
    if not photos:
        return []
    return [_read_texture(photos[k]) for k in rng.integers(0, len(photos), 3)]


@functools.lru_cache(maxsize=256)
def _read_texture(path: Path) -> np.ndarray:
    image = read_image(path)
    shrink = LONGEST_PHOTO_SIDE / max(image.shape[:2])
    if shrink < 1:
        size = (max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image
