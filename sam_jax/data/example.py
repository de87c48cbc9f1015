"""What every source of training data gives, and what the loader makes of it.

A source is a random-access list of examples: photos, each with the masks of its objects. Masks are decoded one by one,
when they are asked for, because training draws a few of the hundreds that an image can have.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int32, Integer, UInt8

from sam_jax.data.pixel_runs import Runs, draw_runs, find_label_runs, find_runs
from sam_jax.ops.rle import decompress_counts
from sam_jax.types import InputError


class RecordError(InputError):
    """A record of a data set cannot be used; the loader skips it, counts it, and names it."""


@runtime_checkable
class Masks(Protocol):
    """Masks of one photo, by index: a list of arrays, or a class that decodes on access."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Bool[np.ndarray, "h w"]: ...


class Example(NamedTuple):
    """A photo and the masks of its objects.

    Attributes:
        name: where it is in its data set, for messages.
        image: RGB.
        masks: one for each object, all of the photo's size.
    """

    name: str
    image: UInt8[np.ndarray, "h w 3"]
    masks: Masks


@runtime_checkable
class Source(Protocol):
    """A data set: examples by index, always the same ones. It can be pickled, for the loader's worker processes."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example:
        """Read a record.

        Raises:
            RecordError: it cannot be used.
        """
        ...


class Batch(NamedTuple):
    """What a training step takes; shapes are the same from batch to batch.

    Attributes:
        images: photos resized into the model's input, zero beyond them.
        fitted: (h, w) of the photo inside the input; it starts in the upper left corner.
        masks: truth at a quarter of the input: a cell is object where at least half of it is.
        valid: which masks are real; an image can have fewer than n.
    """

    images: UInt8[np.ndarray, "b h w 3"]
    fitted: Int32[np.ndarray, "b 2"]
    masks: Bool[np.ndarray, "b n h_low w_low"]
    valid: Bool[np.ndarray, "b n"]


@runtime_checkable
class HasRuns(Protocol):
    """Masks that are known as runs, so that nothing has to be drawn to measure them."""

    def runs(self, index: int) -> Runs:
        """One mask."""
        ...


def mask_runs(masks: Masks, index: int) -> Runs:
    """One of an example's masks as runs, by the shortest way."""
    return masks.runs(index) if isinstance(masks, HasRuns) else find_runs(masks[index])


def check_size(truth: str, size: tuple[int, ...], photo_size: tuple[int, ...]) -> None:
    """Refuse masks that don't fit their photo.

    Args:
        truth: What error messages call the masks.
        size: Height and width of the masks.
        photo_size: Height and width of the photo.

    Raises:
        RecordError: The sizes differ.
    """
    if size != photo_size:
        raise RecordError(
            f"{truth} is {size[1]} wide and {size[0]} high, "
            f"but the photo is {photo_size[1]} wide and {photo_size[0]} high"
        )


class RleMasks:
    """Run-length encoded masks, decoded on access.

    Args:
        rles: what files hold as `Rle`, not checked yet; a sequence of its own kind can make them on access.
        size: (h, w) of the photo.

    Raises:
        RecordError: on access, a mask of another size or with damaged runs.
    """

    def __init__(self, rles: Sequence[Any], size: tuple[int, int]) -> None:
        self._rles = rles
        self._size = size

    def __len__(self) -> int:
        return len(self._rles)

    def __getitem__(self, index: int) -> Bool[np.ndarray, "h w"]:
        return draw_runs(self.runs(index))

    def runs(self, index: int) -> Runs:
        """A mask without drawing it."""
        rle = self._rles[index]
        height, width = self._size
        try:
            size, counts = tuple(rle["size"]), rle["counts"]
            lengths = decompress_counts(counts) if isinstance(counts, str) else counts
            edges = np.cumsum(np.asarray(lengths, np.int64))
            is_damaged = (np.diff(edges, prepend=0) < 0).any() or edges[-1] != size[0] * size[1]
        except (InputError, LookupError, TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"a mask is not run-length encoded: {error}") from error
        check_size("a mask", size, self._size)
        if is_damaged:
            raise RecordError(f"a mask is damaged: its runs do not fill {width}x{height} pixels")
        starts, ends = edges[:-1:2], edges[1::2]
        has_pixels = starts < ends
        return Runs(starts[has_pixels], ends[has_pixels], self._size)


class LabelMasks:
    """Objects that share one map of labels, 0 being the background.

    Args:
        labels: which object a pixel belongs to.
        ids: labels of the masks, in order; the default is all that occur, ascending.
    """

    def __init__(
        self, labels: Integer[np.ndarray, "h w"], ids: Sequence[int] | None = None
    ) -> None:
        self._runs = find_label_runs(labels)
        self._ids = np.unique(self._runs.labels).tolist() if ids is None else list(ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> Bool[np.ndarray, "h w"]:
        return draw_runs(self.runs(index))

    def runs(self, index: int) -> Runs:
        """A mask without drawing it."""
        return self._runs.of(self._ids[index])
