"""Grids of points and crops, against the official functions."""

import numpy as np
import pytest
import torch

from experiments.official import segment_anything
from sam_jax.inference.crops import make_grids, make_point_grid, near_crop_edge, plan_crops
from sam_jax.types import InputError

amg = segment_anything.utils.amg


@pytest.mark.parametrize("size", [(300, 500), (500, 300), (1, 2000), (7, 5)])
@pytest.mark.parametrize(("layers", "overlap"), [(0, 0.3), (1, 512 / 1500), (3, 0.1)])
def test_crops(size, layers, overlap):
    boxes, layer_of_box = amg.generate_crop_boxes(size, layers, overlap)
    crops = plan_crops(size, layers, overlap)
    assert [list(crop.box) for crop in crops] == boxes
    assert [crop.layer for crop in crops] == layer_of_box


@pytest.mark.parametrize("side", [1, 2, 5, 32])
def test_point_grid(side):
    np.testing.assert_allclose(make_point_grid(side), amg.build_point_grid(side), rtol=1e-14)


def test_near_crop_edge():
    size, rng = (300, 500), np.random.default_rng(0)
    crop = plan_crops(size, 1, 0.3)[2]
    x0, y0, _, _ = crop.box
    corners = rng.integers(0, 150, (400, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    boxes += np.array([x0, y0, x0, y0])
    official = amg.is_box_near_crop_edge(
        torch.tensor(boxes) - torch.tensor([x0, y0, x0, y0]), list(crop.box), [0, 0, 500, 300]
    )
    result = near_crop_edge(boxes, crop, size)
    np.testing.assert_array_equal(result, official)
    assert 0 < result.sum() < len(boxes)


@pytest.mark.parametrize("grid", [None, "photo.jpg", 0.5, [[0.5]], [[0.5, 1.5]], [[0.5, np.nan]]])
def test_grids_that_are_no_points(grid):
    with pytest.raises(InputError, match="points x, y from 0 to 1"):
        make_grids(None, [grid], 0, 1)
