"""A simulated person at `sam-jax annotate`: clicks where the mask is wrong, and brushes what clicks don't reach."""

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np

from sam_jax.data.example import Example
from sam_jax.data_engine.workplace import Workplace
from sam_jax.evaluation.mask_overlap import mask_iou
from sam_jax.evaluation.points.annotator import find_centre, next_click
from sam_jax.evaluation.points.sessions import PointsConfig, choose_masks
from sam_jax.ops.rle import decode_rle, encode_rle

NAME = "simulated"


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How much the person does.

    Attributes:
        good_iou: IoU with the truth with which a mask is done.
        most_clicks: Clicks after which the rest is brushed.
        most_masks: Objects of a photo that are masked.
        least_area: Area in pixels of the smallest ones.
    """

    good_iou: float = 0.85
    most_clicks: int = 8
    most_masks: int = 4
    least_area: int = 30


def annotate_photo(
    workplace: Workplace, photo_id: int, truth: Example, patience: Patience
) -> list[int]:
    """Mask the objects of a photo and finish it, through what the browser uses, too; return the clicks of each mask."""
    opened = workplace.open(photo_id, NAME, None)
    wanted = PointsConfig(masks_per_image=patience.most_masks, min_area=patience.least_area)
    clicks = [
        _draw(workplace, photo_id, opened["lease"], truth.masks[number], patience)
        for number in choose_masks(truth, photo_id, wanted)
    ]
    workplace.finish(photo_id, opened["lease"], is_finished=True)
    workplace.release(photo_id, opened["lease"])
    return clicks


def _draw(
    workplace: Workplace, photo_id: int, lease: str, truth: np.ndarray, patience: Patience
) -> int:
    """Click one object until its mask is good, or brush it in the end, and save it."""
    clicks = [[*find_centre(truth).tolist(), 1]]
    prompt: dict[str, Any] = {"base": None, "box": None, "clicks": clicks, "choice": None}
    while True:
        answer = workplace.predict(photo_id, prompt, is_preview=False)
        mask = decode_rle(answer["mask"]["rle"])
        prompt = prompt | {
            "choice": answer["choice"] if prompt["choice"] is None else prompt["choice"]
        }
        is_good = mask_iou(mask, truth) >= patience.good_iou
        if is_good or len(prompt["clicks"]) == patience.most_clicks:
            break
        points = np.array(prompt["clicks"], np.float64)[:, :2]
        click = next_click(truth, mask, points)
        if click is None:
            break
        prompt = prompt | {"clicks": [*prompt["clicks"], [*click.point, int(click.label)]]}
    counts = answer["mask"]["rle"]["counts"]
    drawn = {
        "id": secrets.token_hex(16),
        "revision": 0,
        "state": "done",
        "verdict": None,
        "label": "",
        "counts": counts if is_good else encode_rle(truth, compress=True)["counts"],
        "prompt": prompt if is_good else None,
        "predicted_iou": answer["mask"]["predicted_iou"],
        "model": answer["model"],
        "clicks": len(prompt["clicks"]),
        "strokes": 0 if is_good else 1,
        "seconds": 0.0,
    }
    workplace.change(
        photo_id, lease, secrets.token_hex(16), "finish" if is_good else "stroke", drawn
    )
    return len(prompt["clicks"])
