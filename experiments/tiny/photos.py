"""Photos that the small model may learn from, with their masks; `python -m experiments.tiny` writes them first.

    python -m experiments.tiny.photos data runs/tiny/photos

The terms of most photos in `data` forbid it. What is left are the example photos of Segment Anything (Apache 2.0),
five sequences of DAVIS 2016 (BSD), and those photos of the COCO sample that are free (CC BY, or without known
restrictions; COCO's masks are CC BY). Folders in SA-1B's form are written unless it says otherwise:

- `objects`: photos with the outlines of things: DAVIS' and COCO's, and those of `outlines.json.xz`, which are of things
  that the two leave out, most of them made of several parts, and of parts of them;
- `things`: the photos among them that `outlines.json.xz` has masks for: to cut things out and paste them elsewhere;
- `regions`: all the photos with the regions that Felzenszwalb and Huttenlocher's segmentation finds in them at three
  scales, if they are solid: masks of no meaning, but of the colours, edges and textures that photos have;
- `small_regions`: the same with smaller regions, too;
- `surroundings`: large regions at larger scales that are not solid: what things stand in front of, skies and grounds
  and walls, which four in ten large segments are that people draw;
- `held_back`: the other photos of the COCO sample, to measure by, in COCO's form;
- `credits.csv`: who took what, as CC BY asks.
"""

import csv
import json
import lzma
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
from sam_jax.evaluation.graph_segments import FELZENSZWALB_SCALES
from sam_jax.ops.rle import decode_rle, encode_rle
from sam_jax.types import InputError

SEQUENCES = ("blackswan", "breakdance", "camel", "car-shadow", "dance-twirl")
"""Sequences of DAVIS 2016 to learn from; its other five are held out."""
FREE_LICENCES = (4, 7)
"""COCO's numbers of CC BY 2.0 and of no known restrictions."""
OUTLINES = Path(__file__).with_name("outlines.json.xz")
"""Things outlined for this recipe: their names and COCO's compressed run lengths, by photo below `data`."""
LONGEST_SIDE = 640
"""Longest side in pixels at which photos are segmented."""
SMALLEST_REGIONS = {"regions": 0.002, "small_regions": 0.0003}
"""Smallest region, as a share of the photo, by the folder that is written."""
MOST_HOLES = 1.15
"""A region that is larger by more with its holes filled is no thing, but what lies between things."""
LEAST_SOLID = 0.75
"""Smallest share of its convex hull that a region fills; one that fills less has leaked."""
SURROUNDING_SCALES = (300.0, 1000.0, 3000.0)
"""Scales of the segmentation at which surroundings are found."""
SMALLEST_SURROUNDING = 0.01
"""Smallest surrounding, as a share of the photo."""
SPECK = 0.003
"""Holes of surroundings that are smaller, as a share of the photo, are filled."""

Photo = tuple[UInt8[np.ndarray, "h w 3"], list[Bool[np.ndarray, "h w"]]]


def write_photos(data: Path, output: Path, outlines: Path = OUTLINES) -> None:
    """Write the photos; once all of them are there, do nothing.

    Args:
        data: Folder of `davis2016`, `coco_tiny` and `photos`.
        output: Folder to write.
        outlines: File of outlined things.

    Raises:
        InputError: A data set is missing.
    """
    credits = output / "credits.csv"
    if credits.exists():
        return
    coco = data / "coco_tiny"
    for needed in (coco / "instances.json", data / "davis2016/images", data / "photos"):
        if not needed.exists():
            raise InputError(
                f"no {needed}; {data} must hold davis2016, coco_tiny and photos, as experiments/tiny/README.md says"
            )
    document = json.loads((coco / "instances.json").read_bytes())
    free = [image for image in document["images"] if image["license"] in FREE_LICENCES]
    free_json = _write_part(coco, document, free, output / "free")
    held_back = [image for image in document["images"] if image not in free]
    _write_part(coco, document, held_back, output / "held_back")
    more = _read_outlines(outlines)
    for name, (image, masks) in _read_photos(data, free_json).items():
        _write_regions(output, name, image)
        if name in more:
            height, width = more[name][0].shape
            image = np.asarray(
                Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
            )
            masks = [*masks, *more[name]]
            _write(output / "things", name, image, masks)
        if masks:
            _write(output / "objects", name, image, masks)
    # Last of all: its presence says that the folder is complete.
    licences = {licence["id"]: licence["name"] for licence in document["licenses"]}
    with credits.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "licence", "source"])
        for image in free:
            writer.writerow([image["file_name"], licences[image["license"]], image["flickr_url"]])


def _read_photos(data: Path, coco: Path) -> dict[str, Photo]:
    """Photos and the masks that their data sets have, by name."""
    with_masks = [
        *_examples(CocoJson(coco)),
        *(
            example
            for sequence in SEQUENCES
            for example in _examples(open_source(data / "davis2016/images" / sequence))
        ),
    ]
    photos = {
        _name(Path(example.name)): (
            example.image,
            [example.masks[index] for index in range(len(example.masks))],
        )
        for example in with_masks
    }
    for path in sorted((data / "photos").glob("*.jpg")):
        photos[_name(path)] = (read_image(path), [])
    return photos


def _examples(source: Any) -> Iterable[Example]:
    return (source[index] for index in range(len(source)))


def _name(path: Path) -> str:
    return f"{path.parent.name}_{path.stem}"


def _read_outlines(path: Path) -> dict[str, list[Bool[np.ndarray, "h w"]]]:
    """Masks by the name of their photo, all of a size."""
    return {
        _name(Path(photo["file"])): [
            decode_rle({"size": photo["size"], "counts": thing["counts"]})
            for thing in photo["things"]
        ]
        for photo in json.loads(lzma.decompress(path.read_bytes()))["photos"]
    }


def _write_part(
    coco: Path, document: dict[str, Any], images: list[dict[str, Any]], folder: Path
) -> Path:
    """Write some photos of a COCO file, which stay where they are, and their annotations."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = folder / "images"
    photos.unlink(missing_ok=True)
    photos.symlink_to((coco / "images").resolve())
    ids = {image["id"] for image in images}
    annotations = [a for a in document["annotations"] if a["image_id"] in ids]
    path = folder / "instances.json"
    path.write_text(json.dumps({**document, "images": images, "annotations": annotations}))
    return path


def _write_regions(output: Path, name: str, photo: UInt8[np.ndarray, "h w 3"]) -> None:
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

    for folder, smallest in SMALLEST_REGIONS.items():
        solid = [
            _place(region.image_filled, region, small)
            for region in find(FELZENSZWALB_SCALES, smallest)
            if _is_solid(region)
        ]
        _write(output / folder, name, small, _once(solid))
    others = [
        remove_small_holes(
            _place(region.image, region, small), max_size=int(SPECK * small[..., 0].size)
        )
        for region in find(SURROUNDING_SCALES, SMALLEST_SURROUNDING)
        if not _is_solid(region)
    ]
    if others:
        _write(output / "surroundings", name, small, _once(others))


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
    """The masks, each once though several scales find it."""
    return {mask.tobytes(): mask for mask in masks}.values()


def _write(
    folder: Path,
    name: str,
    photo: UInt8[np.ndarray, "h w 3"],
    masks: Iterable[Bool[np.ndarray, "h w"]],
) -> None:
    """Write a photo and its json file in SA-1B's form."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(folder / f"{name}.jpg", quality=95)
    annotations = [
        {"id": index, "area": int(mask.sum()), "segmentation": encode_rle(mask, compress=True)}
        for index, mask in enumerate(masks)
    ]
    height, width = photo.shape[:2]
    image = {"file_name": f"{name}.jpg", "height": height, "width": width}
    (folder / f"{name}.json").write_text(json.dumps({"image": image, "annotations": annotations}))


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write the photos to learn from, and those of COCO to measure by."""

    data: Annotated[Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Folder of davis2016, coco_tiny and photos."""
    output: Annotated[Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Folder to write."""


def main() -> None:
    """Write the photos."""
    options = tyro.cli(Options)
    try:
        write_photos(options.data, options.output)
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
