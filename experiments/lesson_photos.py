"""Photos that the shipped model may learn from, with their masks: for the lessons `tiny_8` and later.

    python -m experiments.lesson_photos data runs/photos

The terms of most photos in `data` forbid it. What is left are the example photos of Segment Anything (Apache 2.0),
five sequences of DAVIS 2016 (BSD), and those photos of the COCO sample that are free (CC BY, or without known
restrictions; COCO's masks are CC BY). Written are, in SA-1B's form unless it says otherwise:

- `objects`: DAVIS' and COCO's photos with the masks that people drew;
- `regions`: all the photos with the regions that Felzenszwalb and Huttenlocher's segmentation finds in them at three
  scales, if they are solid: masks of no meaning, but of the colours, edges and textures that photos have;
- `surroundings`: of large regions those that are not solid, at larger scales: what things stand in front of, skies
  and grounds and walls, which four in ten large segments are that people draw;
- `held_back`: the other photos of the COCO sample, to measure by, in COCO's form;
- `credits.csv`: who took what, as CC BY asks.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from jaxtyping import Bool, UInt8
from PIL import Image
from skimage.measure import regionprops
from skimage.morphology import remove_small_holes
from skimage.segmentation import felzenszwalb
from tyro.conf import Positional

from sam_jax.data.coco import CocoJson
from sam_jax.data.example import Example
from sam_jax.data.images import read_image
from sam_jax.data.sources import open_source
from sam_jax.evaluation.classical import FELZENSZWALB_SCALES
from sam_jax.ops.rle import encode_rle

SEQUENCES = ("blackswan", "breakdance", "camel", "car-shadow", "dance-twirl")
"""Of DAVIS 2016; its other five are held back."""
FREE_LICENCES = (4, 7)
"""COCO's numbers of CC BY 2.0 and of no known restrictions."""
LONGEST_SIDE = 640
MOST_HOLES = 1.15
"""A region that is larger by more with its holes filled is no thing, but what lies between things."""
LEAST_SOLID = 0.75
"""Of a region's convex hull; less is a region that has leaked."""


SURROUNDING_SCALES = (300.0, 1000.0, 3000.0)
SMALLEST_SURROUNDING = 0.01
"""As a share of the photo."""
SPECK = 0.003
"""Smaller holes of surroundings are filled, as a share of the photo."""


@dataclass(frozen=True)
class Options:
    """Write photos to learn from, and those of COCO to measure by."""

    data: Annotated[Positional[Path], tyro.conf.arg(metavar="DATA")]
    """The folder of `davis2016`, `coco_tiny` and `photos`."""
    output: Annotated[Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Where to write."""
    smallest_region: float = 0.002
    """Regions that are a smaller share of the photo are left out."""


def main(options: Options) -> None:
    """Write them."""
    coco = options.data / "coco_tiny"
    for needed in (coco / "instances.json", options.data / "davis2016/images"):
        if not needed.exists():
            sys.exit(f"error: no {needed}; DATA is the folder of davis2016, coco_tiny and photos")
    document = json.loads((coco / "instances.json").read_bytes())
    free = [image for image in document["images"] if image["license"] in FREE_LICENCES]
    free_json = _write_part(coco, document, free, options.output / "free")
    held_back = [image for image in document["images"] if image not in free]
    _write_part(coco, document, held_back, options.output / "held_back")

    with_masks = [
        *_examples(CocoJson(free_json)),
        *(
            example
            for sequence in SEQUENCES
            for example in _examples(open_source(options.data / "davis2016/images" / sequence))
        ),
    ]
    for example in with_masks:
        masks = [example.masks[index] for index in range(len(example.masks))]
        _write(options.output / "objects", _name(example), example.image, masks)
        _write_regions(options, _name(example), example.image)
    for path in sorted((options.data / "photos").glob("*.jpg")):
        _write_regions(options, path.stem, read_image(path))
    with (options.output / "credits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "licence", "source"])
        licences = {licence["id"]: licence["name"] for licence in document["licenses"]}
        for image in free:
            writer.writerow([image["file_name"], licences[image["license"]], image["flickr_url"]])


def _examples(source: Any) -> Iterable[Example]:
    return (source[index] for index in range(len(source)))


def _name(example: Example) -> str:
    path = Path(example.name)
    return f"{path.parent.name}_{path.stem}"


def _write_part(
    coco: Path, document: dict[str, Any], images: list[dict[str, Any]], folder: Path
) -> Path:
    """Some photos of a COCO file, which stay where they are, and their annotations."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = folder / "images"
    photos.unlink(missing_ok=True)
    photos.symlink_to((coco / "images").resolve())
    ids = {image["id"] for image in images}
    annotations = [a for a in document["annotations"] if a["image_id"] in ids]
    path = folder / "instances.json"
    path.write_text(json.dumps({**document, "images": images, "annotations": annotations}))
    return path


def _write_regions(options: Options, name: str, photo: UInt8[np.ndarray, "h w 3"]) -> None:
    image = Image.fromarray(photo)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    small = np.asarray(image)
    solid = [
        _place(region.image_filled, region, small)
        for region in _find_regions(small, FELZENSZWALB_SCALES, options.smallest_region)
        if _is_solid(region)
    ]
    _write(options.output / "regions", name, small, _once(solid))
    others = [
        remove_small_holes(
            _place(region.image, region, small), max_size=int(SPECK * small[..., 0].size)
        )
        for region in _find_regions(small, SURROUNDING_SCALES, SMALLEST_SURROUNDING)
        if not _is_solid(region)
    ]
    if others:
        _write(options.output / "surroundings", name, small, _once(others))


def _find_regions(
    photo: UInt8[np.ndarray, "h w 3"], scales: Iterable[float], smallest: float
) -> Iterator[Any]:
    """Of several segmentations, those that are at least such a share of the photo."""
    for scale in scales:
        labels = felzenszwalb(photo, scale=scale, sigma=0.8, min_size=50) + 1
        yield from (r for r in regionprops(labels) if r.area >= smallest * labels.size)


def _is_solid(region: Any) -> bool:
    is_whole = region.area_filled <= MOST_HOLES * region.area
    return is_whole and region.area_filled >= LEAST_SOLID * region.area_convex


def _place(
    mask: Bool[np.ndarray, "rows columns"],
    region: Any,
    photo: UInt8[np.ndarray, "h w 3"],
) -> Bool[np.ndarray, "h w"]:
    placed = np.zeros(photo.shape[:2], bool)
    placed[region.slice] = mask
    return placed


def _once(masks: Iterable[Bool[np.ndarray, "h w"]]) -> Iterable[Bool[np.ndarray, "h w"]]:
    """Each once, though several scales find it."""
    return {mask.tobytes(): mask for mask in masks}.values()


def _write(
    folder: Path,
    name: str,
    photo: UInt8[np.ndarray, "h w 3"],
    masks: Iterable[Bool[np.ndarray, "h w"]],
) -> None:
    """A photo and its json file in SA-1B's form."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(folder / f"{name}.jpg", quality=95)
    annotations = [
        {"id": index, "area": int(mask.sum()), "segmentation": encode_rle(mask, compress=True)}
        for index, mask in enumerate(masks)
    ]
    height, width = photo.shape[:2]
    image = {"file_name": f"{name}.jpg", "height": height, "width": width}
    (folder / f"{name}.json").write_text(json.dumps({"image": image, "annotations": annotations}))


if __name__ == "__main__":
    main(tyro.cli(Options))
