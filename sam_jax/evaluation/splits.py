"""Data sets on the disk, or parts of them, to measure on."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from sam_jax.data.annotation_database import AnnotationDatabase
from sam_jax.data.example import Example, Source, mask_runs
from sam_jax.data.left_out import list_left_out
from sam_jax.data.sources import open_source
from sam_jax.data.subset import find_held_out
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.evaluation.experiment import DataSet, Item
from sam_jax.evaluation.image_records import digest_arrays
from sam_jax.storage import exists, locate
from sam_jax.types import InputError

MOST_DRAWN = 10_000
"""The most images of a synthetic source that are measured where nobody says how many."""


class Split(NamedTuple):
    """A part of a data set on the disk.

    Attributes:
        name: Name of the part in tables.
        place: Path of the data set with all its folders, or another name that it is opened by.
        source: The whole data set.
        indices: Ascending indices of the images that are in the part.
    """

    name: str
    place: str
    source: Source
    indices: Sequence[int]


def open_split(text: str, most: int | None = None) -> Split:
    """Open a part of a data set that is on the disk.

    Args:
        text: The part as `NAME=PLACE`. With `@5` after it, the part is what `hold_back=5` holds out of training: the
            first image and every fifth from there, of a database by the photos' numbers; with
            `@36:` or `@36:68`, the images from number 36, counted from 0, to the end or before number 68. PLACE is
            whatever `sam_jax.data.sources.open_source` can open.
        most: The most images, spread evenly over the part; None for all.

    Raises:
        InputError: The text has another form, or there is no data set, or it has no images, or no end of them.
    """
    name, separator, place = text.partition("=")
    if not (name and separator and place):
        raise InputError(
            f"{text!r} is no data set: give NAME=PLACE, NAME=PLACE@5 or NAME=PLACE@36:"
        )
    part, step = slice(None), 1
    if found := re.fullmatch(r"(.+)@(\d+)", place):
        place, step = found[1], int(found[2])
        if step < 1:
            raise InputError(f"{text}: every {step}th image leaves none: it must be 1 or more")
    elif found := re.fullmatch(r"(.+)@(\d+):(\d*)", place):
        place, part = found[1], slice(int(found[2]), int(found[3]) if found[3] else None)
    source = open_source(place)
    if len(source) == 0:
        raise InputError(f"{place} holds no images: there is nothing to measure")
    chosen = find_held_out(source, step)[part]
    if not chosen:
        raise InputError(f"{text} leaves none of its {len(source)} images")
    if most is None and isinstance(source, SyntheticSource) and len(chosen) > MOST_DRAWN:
        raise InputError(
            f"{place} draws as many images as are asked for: say how many to measure, {text}@0:100, or --images 100"
        )
    return Split(name, _find_place(place, source), source, spread_evenly(chosen, most))


def _find_place(place: str, source: Source) -> str:
    if isinstance(source, AnnotationDatabase):
        return source.name  # without the password of an address
    return str(locate(place).resolve()) if exists(locate(place)) else place


def open_splits(texts: Sequence[str], most: int | None = None) -> list[Split]:
    """Open parts of data sets, each as `open_split` does.

    Args:
        texts: The parts as `NAME=PLACE`.
        most: The most images of each part, spread evenly over it; None for all.

    Raises:
        InputError: A part cannot be opened, two have the same name, or a name cannot be that of a folder.
    """
    splits = [open_split(text, most) for text in texts]
    names = [split.name for split in splits]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two data sets are called {name}: give each a name of its own")
        if "/" in name or name.startswith("."):
            raise InputError(
                f"{name!r} cannot be a folder's name: call the data set something else"
            )
    return splits


def as_data_set(
    split: Split, read: Callable[[int], Item], find_example: Callable[[Item], Example]
) -> DataSet[Item]:
    """A part of a data set as experiments want it.

    Args:
        split: The part.
        read: Function from the index of an image in the whole data set to what is measured.
        find_example: Function from what is measured to the photo and masks in it.
    """
    return DataSet(
        name=split.name,
        images=[f"image {index} of {split.name}" for index in split.indices],
        settings={"place": split.place},
        read=lambda number: read(split.indices[number]),
        left_out=list_left_out(split.source),
        digest=lambda item: _digest(find_example(item)),
        list_notes=lambda item: find_example(item).notes,
    )


def _digest(example: Example) -> str:
    runs = [mask_runs(example.masks, number) for number in range(len(example.masks))]
    return digest_arrays(
        [example.image, *(edges for one in runs for edges in (one.starts, one.ends))]
    )


def spread_evenly(indices: Sequence[int], most: int | None) -> list[int]:
    """At most `most` of the indices, from the first to the last at even distances; None for all.

    >>> spread_evenly(range(10), 4)
    [0, 3, 6, 9]

    Raises:
        InputError: `most` is below 1.
    """
    if most is not None and most < 1:
        raise InputError(f"at most {most} images leaves none: it must be 1 or more")
    if most is None or len(indices) <= most:
        return list(indices)
    return [indices[place] for place in np.linspace(0, len(indices) - 1, most).round().astype(int)]
