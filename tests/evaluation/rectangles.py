"""A made-up data set of rectangles in COCO's form."""

import json

import numpy as np

from sam_jax.evaluation.coco_truth import read_truth
from sam_jax.ops.rle import encode_rle

HEIGHT, WIDTH = 120, 160
BLANK = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
OBJECTS = [
    (7, 1, (10, 20, 30, 40), 0),
    (7, 18, (60, 10, 20, 20), 0),
    (7, 1, (100, 60, 50, 50), 1),
    (8, 18, (5, 5, 110, 100), 0),
]


def rectangle(x, y, width, height):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[int(y) : int(y + height), int(x) : int(x + width)] = True
    return mask


def rle_of(box):
    return encode_rle(rectangle(*box), compress=True)


def write_truth(folder, objects, images=(7, 8), categories=(1, 18), more=None, extra=None):
    """Objects are (image, category, box xywh, iscrowd)."""
    document = {
        "images": [
            {"id": i, "height": HEIGHT, "width": WIDTH, "file_name": f"{i}.png", **(more or {})}
            for i in images
        ],
        "annotations": [
            {
                "id": number,  # from 0, which both libraries trip over
                "image_id": image,
                "category_id": category,
                "bbox": list(box),
                "area": int(rectangle(*box).sum()),
                "iscrowd": crowd,
                "segmentation": rle_of(box),
            }
            for number, (image, category, box, crowd) in enumerate(objects)
        ],
        "categories": [{"id": c, **((extra or {}).get(c, {}))} for c in categories],
    }
    path = folder / "truth.json"
    path.write_text(json.dumps(document))
    return read_truth(path)


def make_result(image, category, box, score):
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": rle_of(box),
        "score": score,
    }
