"""Masks of many photos: found group by group on all devices, and handed to whatever keeps them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from sam_jax.data.images import read_image
from sam_jax.distributed import spread
from sam_jax.distributed.cluster import Cluster, GivenUp
from sam_jax.inference.automatic import Record, SamAutomaticMaskGenerator
from sam_jax.inference.loading import copy_to_devices, load
from sam_jax.inference.settings import describe_model
from sam_jax.inference.text_ranking import TextMaskGenerator
from sam_jax.models import Model
from sam_jax.storage import is_folder
from sam_jax.types import InputError

GROUPS_IN_HAND = 2
"""Groups of photos in progress for each device: while it computes for one, another is read or written."""

Generator = SamAutomaticMaskGenerator | TextMaskGenerator


class PhotoMasks(NamedTuple):
    """What was found in a photo.

    Attributes:
        name: Path of the photo relative to its folder.
        records: Masks of the photo, with run lengths as COCO's strings.
        size: Height and width of the photo; None if it could not be used.
        problem: Reason why the photo could not be used; None if all went well.
    """

    name: str
    records: Sequence[Record]
    size: tuple[int, int] | None
    problem: str | None


class PhotoOutcome(NamedTuple):
    """The result for a photo.

    Attributes:
        name: Path of the photo relative to its folder.
        masks: Number of masks that were found.
        problem: Reason why the photo could not be used; None if all went well.
        is_left: Whether the photo is left for later, because somebody else is at work on it.
    """

    name: str
    masks: int
    problem: str | None
    is_left: bool = False


def make_generators(
    model: Model, arguments: dict[str, Any], images_per_batch: int
) -> list[SamAutomaticMaskGenerator]:
    """A generator for each device of this machine.

    Args:
        model: Model with its weights.
        arguments: Arguments of `SamAutomaticMaskGenerator`.
        images_per_batch: Number of images, or crops of them, that are encoded together.

    Raises:
        InputError: The arguments contradict each other.
    """
    return [
        SamAutomaticMaskGenerator(
            on_device, output_mode="coco_rle", images_per_batch=images_per_batch, **arguments
        )
        for on_device in copy_to_devices(model)
    ]


def find_masks(
    generator: Generator,
    folder: Path,
    names: Sequence[str],
    keep: Callable[[str, UInt8[np.ndarray, "h w 3"]], None] = lambda name, image: None,
) -> list[PhotoMasks]:
    """Find the masks of a group of photos, which are encoded together.

    Args:
        generator: Generator whose `output_mode` is `coco_rle`.
        folder: Folder of the photos.
        names: Paths of the photos relative to the folder.
        keep: Function that is given the pixels of each photo that can be used.
    """
    found: list[PhotoMasks] = []
    images: dict[str, np.ndarray] = {}
    for name in names:
        try:
            image = read_image(folder / name)
        except InputError as error:
            found.append(PhotoMasks(name, [], None, str(error)))
            continue
        try:
            generator.plan(image)
        except InputError as error:
            found.append(PhotoMasks(name, [], None, f"{name}: {error}"))
            continue
        keep(name, image)
        images[name] = image
    results = generator.generate_many(images.values())
    for (name, image), records in zip(images.items(), results, strict=True):
        found.append(PhotoMasks(name, records, image.shape[:2], None))
    return found


def mask_in_groups(
    generators: Sequence[Generator],
    names: Sequence[str],
    process: Callable[[Generator, Sequence[str]], Sequence[PhotoOutcome]],
) -> Iterator[PhotoOutcome]:
    """Outcomes of photos, in the order in which they are finished.

    Args:
        generators: One generator for each device.
        names: Paths of the photos.
        process: Function that finds and keeps the masks of a group of photos with one of the generators; threads call
            it at the same time.
    """
    workers = [partial(process, generator) for generator in generators]
    size = generators[0].images_per_batch
    groups = [names[start : start + size] for start in range(0, len(names), size)]
    for outcomes in spread(workers * GROUPS_IN_HAND, groups):
        yield from outcomes


@dataclass(frozen=True, kw_only=True)
class MaskFinder:
    """What finds masks in another process, where it is called first to make that process ready.

    Attributes:
        checkpoint: Weights, as that process names them.
        digest: Digest of the weights, from `describe_model`.
        arguments: Arguments of `SamAutomaticMaskGenerator`.
        images_per_batch: Number of images, or crops of them, that are encoded together.
        folder: Folder of the photos.
        prepare: Function that is called before the weights are loaded.
    """

    checkpoint: str
    digest: str
    arguments: dict[str, Any]
    images_per_batch: int
    folder: Path
    prepare: Callable[[], None]

    def __call__(self) -> Callable[[Sequence[str]], list[PhotoMasks]]:
        """Load the model onto the first device, and return what finds the masks of a group of photos.

        Raises:
            CheckpointError: The weights cannot be read.
            InputError: The folder of the photos is not there, or the weights are others.
        """
        self.prepare()
        if not is_folder(self.folder):
            raise InputError(
                f"there is no {self.folder} here: photos lie in a folder that all machines see by the same path"
            )
        model = load(self.checkpoint)
        if describe_model(model)["weights"] != self.digest:
            raise InputError(
                f"{self.checkpoint} holds other weights here than where the run was started"
            )
        generator = SamAutomaticMaskGenerator(
            model,
            output_mode="coco_rle",
            images_per_batch=self.images_per_batch,
            **self.arguments,
        )
        return partial(find_masks, generator, self.folder)


def find_masks_on_cluster(
    cluster: Cluster, finder: MaskFinder, names: Sequence[str]
) -> Iterator[PhotoMasks]:
    """Find the masks of photos on a cluster, as they are ready, each photo's once.

    Args:
        cluster: Processes that find them.
        finder: What finds them.
        names: Paths of the photos relative to their folder.

    Raises:
        InputError: A worker has other weights, or does not see the photos.
        RunError: Workers don't get ready, or the cluster has gone.
    """
    for name, found in cluster.spread(finder, names, finder.images_per_batch):
        if isinstance(found, GivenUp):
            yield PhotoMasks(name, [], None, f"{name}: given up: {found.reason}")
        else:
            yield found
