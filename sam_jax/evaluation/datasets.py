"""What to measure on: the data sets of the paper's point experiment, and parts of data sets that are on the disk."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sam_jax.data.example import Source
from sam_jax.data.sources import open_source
from sam_jax.evaluation.results import Table
from sam_jax.types import InputError


class PaperDataset(NamedTuple):
    """One of the 23 data sets of SAM's point experiment (section 7.1; appendix D.1, table 7).

    Where a data set has over 15,000 masks, the authors drew images at random until they had about 10,000; which ones
    they did not publish.

    Attributes:
        name: as the paper abbreviates it.
        domain: what its images are of.
        split: the part that was used.
        images: how many were used.
        masks: in them.
        home: where to get it.
    """

    name: str
    domain: str
    split: str
    images: int
    masks: int
    home: str


class Split(NamedTuple):
    """A part of a data set on the disk.

    Attributes:
        name: what tables call it.
        place: where it is, with all its folders.
        source: the whole data set.
        indices: of the images that are in the part, ascending.
    """

    name: str
    place: str
    source: Source
    indices: Sequence[int]


PAPER_DATASETS = tuple(
    PaperDataset(*row)
    for row in (
        (
            "ADE20K",
            "scenes, objects and their parts",
            "validation",
            302,
            10_128,
            "https://groups.csail.mit.edu/vision/datasets/ADE20K/",
        ),
        (
            "BBBC038v1",
            "microscopy, nuclei",
            "train",
            227,
            10_506,
            "https://bbbc.broadinstitute.org/BBBC038",
        ),
        (
            "Cityscapes",
            "driving",
            "validation (panoptic)",
            293,
            9_973,
            "https://www.cityscapes-dataset.com/",
        ),
        (
            "DOORS",
            "boulders, rendered",
            "DS1",
            10_000,
            10_000,
            "https://zenodo.org/record/7107409",
        ),
        (
            "DRAM",
            "paintings",
            "test (semantic)",
            718,
            1_179,
            "https://faculty.runi.ac.il/arik/site/artseg/Dram-Dataset.html",
        ),
        (
            "EgoHOS",
            "egocentric, hands and objects",
            "train, of it Ego4D and THU-READ",
            2_940,
            9_961,
            "https://github.com/owenzlz/EgoHOS",
        ),
        (
            "GTEA",
            "egocentric, hands",
            "train of the hand segmentation task",
            652,
            1_208,
            "https://cbs.ic.gatech.edu/fpv/",
        ),
        (
            "Hypersim",
            "indoor scenes, rendered",
            "Evermotion archinteriors volumes 1 to 55 but 20, 25, 40, 49",
            338,
            9_445,
            "https://github.com/apple/ml-hypersim",
        ),
        (
            "IBD",
            "drone images, roofs (InstanceBuilding 2D)",
            "train of the 2D annotations",
            467,
            11_953,
            "https://californiachen.github.io/datasets/InstanceBuilding",
        ),
        (
            "iShape",
            "irregular shapes: antennas, logs, fences, hangers",
            "validation",
            754,
            9_742,
            "https://ishape.github.io/",
        ),
        (
            "LVIS",
            "scenes, many kinds of objects",
            "validation of version 0.5",
            945,
            9_642,
            "https://www.lvisdataset.org/",
        ),
        (
            "NDD20",
            "dolphins above and under water",
            "all",
            4_402,
            6_100,
            "https://doi.org/10.25405/data.ncl.c.4982342",
        ),
        (
            "NDISPark",
            "parking lots by day and night",
            "train",
            111,
            2_577,
            "https://zenodo.org/record/6560823",
        ),
        (
            "OVIS",
            "video of objects that hide each other",
            "train",
            2_044,
            10_011,
            "http://songbai.site/ovis/",
        ),
        (
            "PIDRay",
            "X-ray images of baggage",
            "test (hard)",
            3_733,
            8_892,
            "https://github.com/bywang2018/security-dataset",
        ),
        (
            "Plittersdorf",
            "stereo camera trap, wildlife",
            "train, validation and test",
            187,
            546,
            "https://timm.haucke.xyz/datasets/plittersdorf",
        ),
        (
            "PPDLS",
            "plants, leaves",
            "all",
            182,
            2_347,
            "https://www.plant-phenotyping.org/datasets-home",
        ),
        (
            "STREETS",
            "traffic cameras, cars",
            "all",
            819,
            9_854,
            "https://databank.illinois.edu/datasets/IDB-3671567",
        ),
        (
            "TimberSeg",
            "piles of logs",
            "all (version 1.0)",
            220,
            2_487,
            "https://data.mendeley.com/datasets/y5npsm3gkj",
        ),
        (
            "TrashCan",
            "under water, trash",
            "train of the instance task",
            5_936,
            9_540,
            "https://conservancy.umn.edu/handle/11299/214865",
        ),
        (
            "VISOR",
            "egocentric, hands and objects in kitchens",
            "validation",
            1_864,
            10_141,
            "https://epic-kitchens.github.io/VISOR/",
        ),
        (
            "WoodScape",
            "driving through fisheye lenses",
            "set 1",
            107,
            10_266,
            "https://woodscape.valeo.com/home",
        ),
        (
            "ZeroWaste-f",
            "waste to be recycled",
            "train",
            2_947,
            6_155,
            "http://ai.bu.edu/zerowaste/",
        ),
    )
)


def tabulate_datasets() -> Table:
    """The paper's data sets, to print."""
    return Table(
        "Data sets of the point experiment (SAM, table 7)", PaperDataset._fields, PAPER_DATASETS
    )


def open_split(text: str, most: int | None = None) -> Split:
    """Open a part of a data set that is on the disk.

    Args:
        text: `NAME=PLACE`; with `@5` after it, the first image and every fifth from there; with `@36:` or `@36:68`, the
            images from number 36, counted from 0, to the end or before number 68. PLACE is whatever
            `sam_jax.data.sources.open_source` knows.
        most: at most so many images, spread evenly over the part; None for all.

    Raises:
        InputError: another form of text, nothing there, or nothing in it.
    """
    name, separator, place = text.partition("=")
    if not (name and separator and place):
        raise InputError(
            f"{text!r} is no data set: give NAME=PLACE, NAME=PLACE@5 or NAME=PLACE@36:"
        )
    part = slice(None)
    if found := re.fullmatch(r"(.+)@(\d+)", place):
        place, step = found[1], int(found[2])
        if step < 1:
            raise InputError(f"{text}: every {step}th image leaves none: it must be 1 or more")
        part = slice(None, None, step)
    elif found := re.fullmatch(r"(.+)@(\d+):(\d*)", place):
        place, part = found[1], slice(int(found[2]), int(found[3]) if found[3] else None)
    source = open_source(place)
    if len(source) == 0:
        raise InputError(f"{place} holds no images: there is nothing to measure")
    chosen = range(len(source))[part]
    if not chosen:
        raise InputError(f"{text} leaves none of its {len(source)} images")
    where = str(Path(place).resolve()) if Path(place).exists() else place
    return Split(name, where, source, spread_evenly(chosen, most))


def open_splits(texts: Sequence[str], most: int | None = None) -> list[Split]:
    """Open parts of data sets, each as `open_split` does.

    Raises:
        InputError: as for `open_split`; or two have one name, or a name is none for a folder.
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


def spread_evenly(indices: Sequence[int], most: int | None) -> list[int]:
    """At most so many of the indices, from the first to the last at even distances; None for all.

    Raises:
        InputError: `most` leaves none.
    """
    if most is not None and most < 1:
        raise InputError(f"at most {most} images leaves none: it must be 1 or more")
    if most is None or len(indices) <= most:
        return list(indices)
    return [indices[place] for place in np.linspace(0, len(indices) - 1, most).round().astype(int)]
