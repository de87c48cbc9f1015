"""Examples, which every source of training data gives, and batches, which the loader makes of them.

A source is a random-access list of examples: photos, each with the masks of its objects. Masks are decoded one by one,
when they are asked for, because training draws a few of the hundreds that an image can have.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int32, Integer, UInt8

from sam_jax.data.phrases import DrawnObject
from sam_jax.data.pixel_runs import Runs, draw_runs, find_label_runs, find_runs
from sam_jax.ops.rle import decompress_counts
from sam_jax.types import InputError


class RecordError(InputError):
    """A record of a data set cannot be used; the loader skips it, counts it, and names it."""


@runtime_checkable
class Masks(Protocol):
    """The masks of one photo, by index: a list of arrays, or a class that decodes on access."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Bool[np.ndarray, "h w"]: ...


class Example(NamedTuple):
    """A photo and the masks of its objects.

    Attributes:
        name: Where the photo is in its data set, for messages.
        image: RGB pixels of the photo.
        masks: One mask for each object, all of the photo's size.
        notes: Choices that reading had to make and that a user should know of, a line for each.
        objects: What the objects of the masks are, in drawings, where phrases can say it; empty elsewhere.
        text: CLIP's embeddings of each mask in k variants, which stand for text in training; zeros for masks that have
            none, and None where training takes no text.
    """

    name: str
    image: UInt8[np.ndarray, "h w 3"]
    masks: Masks
    notes: tuple[str, ...] = ()
    objects: tuple[DrawnObject, ...] = ()
    text: Float32[np.ndarray, "masks k c"] | None = None


@runtime_checkable
class Source(Protocol):
    """A data set: examples by index, always the same ones. It can be pickled, for the loader's worker processes."""

    @property
    def name(self) -> str:
        """What messages call the data set."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example:
        """Read a record.

        Raises:
            RecordError: The record cannot be used.
        """
        ...


class Batch(NamedTuple):
    """The input of a training step; shapes are the same from batch to batch.

    Attributes:
        images: Padded inputs: photos resized into the upper left corner, zeros beyond them.
        fitted: Size (h, w) of each photo inside the padded input.
        masks: Truth at a quarter of the padded input: a cell is object where at least half of its pixels are.
        valid: Which masks are real; an image can have fewer than n.
        text: CLIP's embeddings of each mask in k variants, zeros for masks that have none; None without text.
    """

    images: UInt8[np.ndarray, "b h w 3"]
    fitted: Int32[np.ndarray, "b 2"]
    masks: Bool[np.ndarray, "b n h_low w_low"]
    valid: Bool[np.ndarray, "b n"]
    text: Float32[np.ndarray, "b n k c"] | None = None


@runtime_checkable
class HasRuns(Protocol):
    """Masks that are stored as runs, so that they can be measured without being drawn."""

    def runs(self, index: int) -> Runs:
        """The runs of one mask."""
        ...


def mask_runs(masks: Masks, index: int) -> Runs:
    """The runs of one of an example's masks, without drawing the mask where that is possible."""
    return masks.runs(index) if isinstance(masks, HasRuns) else find_runs(masks[index])


def check_size(
    truth: str, size: tuple[int, ...], photo_size: tuple[int, ...], note: str = ""
) -> None:
    """Refuse masks that don't fit their photo.

    Args:
        truth: What error messages call the masks.
        size: Height and width of the masks.
        photo_size: Height and width of the photo.
        note: What is known of the photo that may be the cause, to end the message.

    Raises:
        RecordError: The sizes differ.
    """
    if len(size) != len(photo_size):
        raise RecordError(f"{truth} has {len(size)} axes, and not a height and a width")
    if size != photo_size:
        raise RecordError(
            f"{truth} is {size[1]} wide and {size[0]} high, "
            f"but the photo is {photo_size[1]} wide and {photo_size[0]} high{note and f'; {note}'}"
        )


class RleMasks:
    """Run-length encoded masks, decoded on access.

    Args:
        rles: Masks as files hold them, each like an `Rle` but not checked yet. The sequence may make them on access.
        size: Height and width of the photo.
        note: What is known of the photo that may be the cause if masks have another size.

    Raises:
        RecordError: On access, the mask has another size than the photo, or damaged runs.
    """

    def __init__(self, rles: Sequence[Any], size: tuple[int, int], note: str = "") -> None:
        self._rles = rles
        self._size = size
        self._note = note

    def __len__(self) -> int:
        return len(self._rles)

    def __getitem__(self, index: int) -> Bool[np.ndarray, "h w"]:
        return draw_runs(self.runs(index))

    def runs(self, index: int) -> Runs:
        """The runs of one mask, without drawing it."""
        rle = self._rles[index]
        height, width = self._size
        try:
            counts = rle["counts"]
            check_size("a mask", tuple(rle["size"]), self._size, self._note)
            lengths = decompress_counts(counts) if isinstance(counts, str | bytes) else counts
            edges = np.cumsum(np.asarray(lengths, np.int64))
            is_damaged = (np.diff(edges, prepend=0) < 0).any() or edges[-1] != height * width
        except RecordError:
            raise
        except (InputError, LookupError, TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"a mask is not run-length encoded: {error}") from error
        if is_damaged:
            raise RecordError(f"a mask is damaged: its runs do not fill {width}x{height} pixels")
        starts, ends = edges[:-1:2], edges[1::2]
        has_pixels = starts < ends
        return Runs(starts[has_pixels], ends[has_pixels], self._size)


class LabelMasks:
    """Masks of objects that share one label map, in which 0 is the background.

    Args:
        labels: The label map: for each pixel the label of its object.
        ids: Labels of the masks, in order; the default is all labels that occur, ascending.
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
        """The runs of one mask, without drawing it."""
        return self._runs.of(self._ids[index])
