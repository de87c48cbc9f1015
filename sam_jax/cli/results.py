"""The files that `sam-jax predict` leaves: all of them or none."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from sam_jax.cli.prompts import PhotoPrompts
from sam_jax.data.images import write_image, write_mask
from sam_jax.inference.overlay import draw_overlay
from sam_jax.ops.boxes import mask_to_box_xywh
from sam_jax.ops.rle import encode_rle
from sam_jax.types import InputError


def check_folder(folder: Path) -> None:
    """Refuse early what could not become the folder of the results.

    Raises:
        InputError: it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output {folder} is a file; name a folder")


def write_results(
    folder: Path,
    photo: Path,
    image: UInt8[np.ndarray, "h w 3"],
    prompts: PhotoPrompts,
    masks: Bool[np.ndarray, "n m h w"],
    scores: Float[np.ndarray, "n m"],
) -> list[dict[str, Any]]:
    """Write masks (PNG), an overlay of each object's best mask (PNG), and a JSON file; return its annotations.

    The JSON has the fields of SA-1B's files, and for each mask also `file`, `object` (which of the prompted ones), and
    `best` (whether the model expects more of it than of the object's other masks).

    Raises:
        InputError: the folder cannot be written to; nothing is left in it then.
    """
    best = scores.argmax(axis=1)
    annotations = [
        {
            "id": i * masks.shape[1] + k,
            "object": i,
            "file": f"{photo.stem}_mask_{i * masks.shape[1] + k}.png",
            "best": bool(k == best[i]),
            "predicted_iou": round(float(scores[i, k]), 6),
            "area": int(mask.sum()),
            "bbox": mask_to_box_xywh(mask).tolist(),
            "segmentation": encode_rle(mask, compress=True),
        }
        for i, masks_of_object in enumerate(masks)
        for k, mask in enumerate(masks_of_object)
    ]
    overlay = draw_overlay(
        image,
        masks[np.arange(len(masks)), best],
        points=prompts.points,
        labels=prompts.labels,
        boxes=prompts.boxes,
    )
    document = {
        "image": {"file_name": photo.name, "width": image.shape[1], "height": image.shape[0]},
        "prompts": {
            "points": prompts.points.tolist(),
            "labels": prompts.labels.tolist(),
            "boxes": prompts.boxes.tolist(),
            "masks": len(prompts.masks),
        },
        "annotations": annotations,
    }
    with _appearing_together(folder) as unfinished:
        for annotation, mask in zip(annotations, masks.reshape(-1, *masks.shape[2:]), strict=True):
            write_mask(unfinished / annotation["file"], mask)
        write_image(unfinished / f"{photo.stem}_overlay.png", overlay)
        (unfinished / f"{photo.stem}.json").write_text(json.dumps(document) + "\n")
    return annotations


@contextlib.contextmanager
def _appearing_together(folder: Path) -> Iterator[Path]:
    """A folder whose files move into `folder` at the end, or vanish if it is not reached."""
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
        try:
            yield unfinished
            for file in unfinished.iterdir():
                file.replace(folder / file.name)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            if is_new:
                with contextlib.suppress(OSError):  # it holds the results
                    folder.rmdir()
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror or error}") from error
