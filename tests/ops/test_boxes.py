import numpy as np
import pytest

from sam_jax.ops.boxes import mask_to_box_xywh, mask_to_box_xyxy


@pytest.mark.parametrize(
    ("rows", "columns", "box"),
    [
        (slice(2, 5), slice(3, 9), [3, 2, 8, 4]),
        (slice(0, 6), slice(0, 10), [0, 0, 9, 5]),
        (slice(5, 6), slice(9, 10), [9, 5, 9, 5]),
        (slice(0, 0), slice(0, 0), [0, 0, 0, 0]),
    ],
    ids=["inside", "whole", "last pixel", "empty"],
)
def test_box_around_a_rectangle(rows, columns, box):
    mask = np.zeros((6, 10), bool)
    mask[rows, columns] = True
    x0, y0, x1, y1 = box
    assert mask_to_box_xyxy(mask).tolist() == box
    assert mask_to_box_xywh(mask).tolist() == [x0, y0, x1 - x0, y1 - y0]


def test_box_holds_every_part():
    mask = np.zeros((6, 10), bool)
    mask[1, 7] = mask[4, 2] = True
    assert mask_to_box_xyxy(mask).tolist() == [2, 1, 7, 4]
