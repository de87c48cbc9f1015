"""Photos that the shipped model may learn from, with their masks: for the lessons `tiny_8` and later.

    python -m experiments.lesson_photos data runs/photos

The terms of most photos in `data` forbid it. What is left are the example photos of Segment Anything (Apache 2.0),
five sequences of DAVIS 2016 (BSD), and those photos of the COCO sample that are free (CC BY, or without known
restrictions; COCO's masks are CC BY). Written are, in SA-1B's form unless it says otherwise:

- `objects`: photos with the outlines of things: DAVIS' and COCO's, and those of `lesson_masks.json`, which are of
  things that the two leave out, most of them made of several parts, and of parts of them;
- `things`: those of them that `lesson_masks.json` has masks for: to cut things out and paste them into other photos;
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
from sam_jax.ops.rle import decode_rle, encode_rle

SEQUENCES = ("blackswan", "breakdance", "camel", "car-shadow", "dance-twirl")
"""Of DAVIS 2016; its other five are held back."""
FREE_LICENCES = (4, 7)
"""COCO's numbers of CC BY 2.0 and of no known restrictions."""
LESSON_MASKS = Path(__file__).with_name("lesson_masks.json")
"""Things outlined for these lessons in photos that may be learned from, by file below `data`."""
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
    masks: Path = LESSON_MASKS
    """Things outlined for the lessons; of photos, by their files below DATA."""


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
    photos = {
        _name(Path(example.name)): (
            example.image,
            [example.masks[index] for index in range(len(example.masks))],
        )
        for example in with_masks
    }
    for path in sorted((options.data / "photos").glob("*.jpg")):
        photos[_name(path)] = (read_image(path), [])
    more = _read_lesson_masks(options.masks)
    for name, (image, masks) in photos.items():
        _write_regions(options, name, image)
        if name in more:
            height, width = more[name][0].shape
            image = np.asarray(
                Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
            )
            masks = [*masks, *more[name]]
            _write(options.output / "things", name, image, masks)
        if masks:
            _write(options.output / "objects", name, image, masks)
    with (options.output / "credits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "licence", "source"])
        licences = {licence["id"]: licence["name"] for licence in document["licenses"]}
        for image in free:
            writer.writerow([image["file_name"], licences[image["license"]], image["flickr_url"]])


def _examples(source: Any) -> Iterable[Example]:
    return (source[index] for index in range(len(source)))


def _name(path: Path) -> str:
    return f"{path.parent.name}_{path.stem}"


def _read_lesson_masks(path: Path) -> dict[str, list[Bool[np.ndarray, "h w"]]]:
    """Masks by the name of their photo, all of a size."""
    masks: dict[str, list[Bool[np.ndarray, "h w"]]] = {}
    for photo in json.loads(path.read_text())["photos"]:
        masks.setdefault(_name(Path(photo["file"])), []).extend(
            decode_rle({"size": photo["size"], "counts": thing["counts"]})
            for thing in photo["things"]
        )
    return masks


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
    by_scale = {
        scale: regionprops(felzenszwalb(small, scale=scale, sigma=0.8, min_size=50) + 1)
        for scale in {*FELZENSZWALB_SCALES, *SURROUNDING_SCALES}
    }

    def find(scales: Iterable[float], smallest: float) -> Iterator[Any]:
        for scale in scales:
            yield from (r for r in by_scale[scale] if r.area >= smallest * small[..., 0].size)

    solid = [
        _place(region.image_filled, region, small)
        for region in find(FELZENSZWALB_SCALES, options.smallest_region)
        if _is_solid(region)
    ]
    _write(options.output / "regions", name, small, _once(solid))
    others = [
        remove_small_holes(
            _place(region.image, region, small), max_size=int(SPECK * small[..., 0].size)
        )
        for region in find(SURROUNDING_SCALES, SMALLEST_SURROUNDING)
        if not _is_solid(region)
    ]
    if others:
        _write(options.output / "surroundings", name, small, _once(others))


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
