"""The files that `sam-jax predict` writes: all of them or none."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from sam_jax.cli.prompt_options import PhotoPrompts
from sam_jax.data.images import write_image, write_mask
from sam_jax.inference.overlay import draw_overlay
from sam_jax.inference.text_prompts import PhraseAnswer
from sam_jax.ops.boxes import mask_to_box_xywh
from sam_jax.ops.rle import encode_rle
from sam_jax.storage import files_together, write_json
from sam_jax.types import InputError


def write_prediction(
    folder: Path,
    photo: Path,
    image: UInt8[np.ndarray, "h w 3"],
    prompts: PhotoPrompts,
    masks: Bool[np.ndarray, "n m h w"],
    scores: Float[np.ndarray, "n m"],
    answer: PhraseAnswer | None = None,
) -> list[dict[str, Any]]:
    """Write the masks, a picture of the photo with the best mask of each object, and a JSON file.

    The JSON file has the fields of SA-1B's files. Each annotation also has `file` (name of the mask's PNG file),
    `object` (index of the prompted object) and `best` (whether its predicted IoU is the highest among the object's
    masks), and, of a phrase, `phrase` and `similarity`.

    Args:
        folder: Folder of the files.
        photo: Path of the photo, after which the files are named.
        image: Pixels of the photo.
        prompts: Prompts that the masks answer.
        masks: Predicted masks of each object.
        scores: Predicted IoU of each mask.
        answer: What was found for phrases, in the order of the masks; None where no prompt is one.

    Returns:
        The annotations of the JSON file, one for each mask.

    Raises:
        InputError: The folder cannot be written to; no file is left in it then.
        RunError: The disk is full or broken; likewise.
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
            **({} if answer is None else answer.describe(i)),
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
            **({"text": list(prompts.phrases)} if prompts.phrases else {}),
        },
        "annotations": annotations,
    }
    table = f"{photo.stem}.json"
    with files_together(folder, table, _list_masks(folder / table)) as unfinished:
        for annotation, mask in zip(annotations, masks.reshape(-1, *masks.shape[2:]), strict=True):
            write_mask(unfinished / annotation["file"], mask)
        write_image(unfinished / f"{photo.stem}_overlay.png", overlay)
        write_json(unfinished / table, document)
    return annotations


def _list_masks(table: Path) -> list[str]:
    """The masks that an earlier run has written with a JSON file, and that no later one may mix with its own.

    Raises:
        InputError: The file was not written by an earlier run, but may be the photo's truth, as in SA-1B.
    """
    if not table.exists():
        return []
    try:
        document = json.loads(table.read_bytes())
        prompts, names = document["prompts"], [one["file"] for one in document["annotations"]]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        prompts, names = None, []
    if not isinstance(prompts, dict):
        raise InputError(f"{table} is there already, and not of such a run: name another --output")
    ours = re.compile(rf"{re.escape(table.stem)}_mask_\d+\.png")
    return [name for name in names if isinstance(name, str) and ours.fullmatch(name)]
