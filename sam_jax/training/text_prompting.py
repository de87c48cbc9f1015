"""Training with text without any text: CLIP's embeddings of the crops of masks stand for phrases.

Source: [Segment Anything](https://arxiv.org/abs/2304.02643), appendix D.5. CLIP brings images and phrases into one
space, so a model that has learned to segment what a crop shows takes phrases at inference.

Each mask has a fixed number of embeddings, of crops of different growth, half of them without background, and a step
draws one of them. New crops in every step would cost more than the rest of it: CLIP ViT-L/14@336px takes 0.4 TFLOP a
crop, so 64 masks of an image more than four times what ViT-H takes for the image. Kept ones are computed once, and a
mask is seen hundreds of times.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32

from sam_jax.checkpoints import load_clip
from sam_jax.checkpoints.contents import DRAWINGS, SHIPPED_CLIP_FOLDER
from sam_jax.checkpoints.tensors import digest_leaves
from sam_jax.data.example import Example, RecordError, Source, mask_runs
from sam_jax.data.left_out import list_left_out
from sam_jax.data.object_crops import crop_object
from sam_jax.data.pixel_runs import Runs
from sam_jax.models import default_compute
from sam_jax.models.clip import ClipModel, embed_images
from sam_jax.ops.arguments import check_count, check_number
from sam_jax.training.kept_arrays import KeptArrays
from sam_jax.types import InputError

CROPS_AT_ONCE = 32
"""Crops that are in memory together."""


@dataclass(frozen=True, kw_only=True)
class TextPrompting:
    """How masks get embeddings of CLIP as prompts; the defaults are the paper's (appendix D.5).

    Attributes:
        clip: Path of the CLIP, which stays as it is: a Hugging Face folder, OpenAI's `.pt` with its words beside it, or
            "drawings" for the small one that comes with this package.
        least_area: Area in pixels of the photo above which a mask has embeddings.
        most_growth: Largest factor by which the box of a mask grows before it is cropped; the smallest is 1.
        variants: Number of embeddings of a mask, each of another growth; every second is without background.
        keep: Whether embeddings are computed once and kept on disk, where image embeddings are.
        only_projection: Whether nothing but the text projection trains: without text, the model's answers stay equal.

    Raises:
        InputError: A value is out of its range.
    """

    clip: str
    least_area: int = 100**2
    most_growth: float = 2.0
    variants: int = 4
    keep: bool = True
    only_projection: bool = False

    def __post_init__(self) -> None:
        check_count("least_area", self.least_area)
        check_number("most_growth", self.most_growth, least=1)
        check_count("variants", self.variants, least=1)


class CropFeatures:
    """CLIP's embeddings of the masks of examples, computed or read.

    Args:
        clip: CLIP with its weights.
        settings: How crops are made.
        folder: Folder for the files of any number of CLIPs.

    Attributes:
        folder: Folder of this CLIP's files; None where nothing is kept.

    Raises:
        InputError: The folder cannot be made.
    """

    def __init__(self, clip: ClipModel, settings: TextPrompting, folder: Path) -> None:
        self._clip: ClipModel | None = clip
        self._image, self._width = clip.config.image, clip.config.width
        self._settings = settings
        self._files = None
        if settings.keep:
            about = repr((clip.config.image, settings.most_growth, settings.variants))
            name = digest_leaves(clip.variables["params"]["image"], about)[:16]
            self._files = KeptArrays(
                folder / f"text-{name}",
                f"embeddings of CLIP take {4 * settings.variants * self._width / 1e3:.1f} kB a mask: make room for "
                "them, or do without them (text.keep)",
            )
        self.folder = None if self._files is None else self._files.folder

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes only read: a network and its devices are no business of theirs.
        return {**self.__dict__, "_clip": None}

    def of_example(self, example: Example) -> Float32[np.ndarray, "masks k c"]:
        """Embeddings of unit length for every large mask, and zeros for the others.

        Raises:
            RecordError: A mask cannot be decoded; or, in a worker process, embeddings have not been computed yet.
            RunError: The disk refuses embeddings that had to be computed.
        """
        runs = [mask_runs(example.masks, index) for index in range(len(example.masks))]
        large = [
            index for index, of_mask in enumerate(runs) if of_mask.area > self._settings.least_area
        ]
        features = np.zeros((len(runs), self._settings.variants, self._width), np.float32)
        if not large:
            return features

        def compute() -> np.ndarray:
            return self._compute(example, large, [runs[index] for index in large])

        if self._files is None:
            features[large] = compute()
            return features
        like = jax.ShapeDtypeStruct((len(large), *features.shape[1:]), np.float32)
        made_of = [repr(example.image.shape).encode(), example.image.tobytes()]
        made_of += [part.tobytes() for index in large for part in runs[index][:2]]
        features[large] = self._files.find(made_of, like, compute)
        return features

    def _compute(
        self, example: Example, large: list[int], runs: list[Runs]
    ) -> Float32[np.ndarray, "large k c"]:
        if self._clip is None:
            raise RecordError(
                f"{example.name}: its CLIP embeddings are not there; a new run computes them before its first step"
            )
        crops = [
            (index, growth, bool(variant % 2))
            for index, of_mask in zip(large, runs, strict=True)
            for variant, growth in enumerate(draw_growths(of_mask, self._settings))
        ]
        found = []
        for start in range(0, len(crops), CROPS_AT_ONCE):
            cut = [
                crop_object(
                    example.image,
                    example.masks[index],
                    self._image.image_size,
                    self._image.patch_size,
                    growth=growth,
                    zero_background=zero_background,
                )
                for index, growth, zero_background in crops[start : start + CROPS_AT_ONCE]
            ]
            pixels, patches = (np.stack(part) for part in zip(*cut, strict=True))
            found.append(embed_images(self._clip, pixels, patches))
        return np.concatenate(found).reshape(len(large), self._settings.variants, self._width)


def draw_growths(runs: Runs, settings: TextPrompting) -> list[float]:
    """Factors by which the box of a mask grows, one for each variant: spread evenly over the range, in random order.

    Args:
        runs: The mask, on which alone the draws depend.
        settings: How crops are made.
    """
    digest = hashlib.blake2b(runs.starts.tobytes() + runs.ends.tobytes(), digest_size=8).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "little"))
    places = (rng.permutation(settings.variants) + rng.random()) / settings.variants
    return (1 + (settings.most_growth - 1) * places).tolist()


class TextSource:
    """A source whose masks have embeddings of CLIP.

    Args:
        source: Source of the examples.
        features: What finds the embeddings.
    """

    def __init__(self, source: Source, features: CropFeatures) -> None:
        self._source = source
        self.features = features

    @property
    def name(self) -> str:
        """Name of the source."""
        return self._source.name

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        example = self._source[index]
        return example._replace(text=self.features.of_example(example))

    def list_left_out(self) -> list[str]:
        """What the source tells of itself."""
        return list_left_out(self._source)

    def compute_ahead(self, indices: Sequence[int]) -> Iterator[None]:
        """Make the files of some examples; yields after each.

        Raises:
            RunError: The disk refuses embeddings.
        """
        for index in indices:
            with suppress(RecordError):  # The loader counts and names it.
                self[index]
            yield


def add_text(
    sources: Sequence[Source], settings: TextPrompting, text_width: int | None, folder: Path
) -> list[TextSource]:
    """The sources with embeddings of CLIP for their masks.

    Args:
        sources: Sources of a run.
        settings: How masks get embeddings.
        text_width: Width of the embeddings that the model takes.
        folder: Folder for the files of any number of CLIPs.

    Raises:
        InputError: The CLIP cannot be read, or its embeddings have another width.
    """
    path = SHIPPED_CLIP_FOLDER if settings.clip == DRAWINGS else settings.clip
    clip = load_clip(path, compute=default_compute())
    if clip.config.width != text_width:
        raise InputError(
            f"text.clip: the embeddings of {settings.clip} have a width of {clip.config.width}, but the model takes "
            f"{text_width} (model.prompt_encoder.text_width)"
        )
    clip = clip.replace(variables=jax.device_put(clip.variables))  # pyright: ignore[reportAttributeAccessIssue]
    features = CropFeatures(clip, settings, folder)
    return [TextSource(source, features) for source in sources]
