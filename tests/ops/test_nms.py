"""Suppression of boxes, against a plain loop and the cases that differ between implementations."""

import numpy as np
import pytest
import torch

from experiments.official import batched_nms
from sam_jax.ops.nms import box_nms


def draw_boxes(count, seed):
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.integers(0, 40, (count, 2, 2)), axis=1)
    return corners.reshape(count, 4), rng.integers(0, 12, count) / 12


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_official_way(threshold, seed):
    boxes, scores = draw_boxes(120, seed)
    expected = batched_nms(
        torch.tensor(boxes, dtype=torch.float32),
        torch.tensor(scores, dtype=torch.float32),
        torch.zeros(len(boxes)),
        threshold,
    )
    np.testing.assert_array_equal(box_nms(boxes, scores, threshold), expected)


def test_an_iou_at_the_threshold_stays():
    boxes = np.array([[0, 0, 4, 1], [0, 0, 2, 1]])
    assert box_nms(boxes, np.array([0.5, 0.9]), 0.5).tolist() == [1, 0]
    assert box_nms(boxes, np.array([0.5, 0.9]), 0.49).tolist() == [1]


def test_of_equal_scores_the_first_is_the_better():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10]])
    assert box_nms(boxes, np.array([0.5, 0.5, 0.5]), 0.7).tolist() == [0, 2]


def test_boxes_without_area_cover_nothing():
    boxes = np.array([[3, 3, 3, 8], [3, 3, 3, 8], [3, 3, 3, 3]])
    assert box_nms(boxes, np.array([0.9, 0.8, 0.7]), 0.7).tolist() == [0, 1, 2]


def test_no_boxes():
    assert box_nms(np.zeros((0, 4)), np.zeros(0), 0.7).tolist() == []
