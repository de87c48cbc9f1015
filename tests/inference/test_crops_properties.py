"""What holds for crops of images of every size, against the official functions."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.official import segment_anything
from sam_jax.inference.crops import make_point_grid, near_crop_edge, plan_crops

amg = segment_anything.utils.amg

SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))
LAYERS = st.integers(0, 4)
OVERLAPS = st.floats(0, 1)


@given(SIZES, LAYERS, OVERLAPS)
def test_crops_are_the_official_ones(size, layers, overlap):
    boxes, layer_of_box = amg.generate_crop_boxes(size, layers, overlap)
    crops = plan_crops(size, layers, overlap)
    assert [list(crop.box) for crop in crops] == boxes
    assert [crop.layer for crop in crops] == layer_of_box


@given(SIZES, LAYERS, OVERLAPS)
def test_each_layer_covers_the_image(size, layers, overlap):
    crops = plan_crops(size, layers, overlap)
    for layer in range(layers + 1):
        boxes = [crop.box for crop in crops if crop.layer == layer]
        assert len(boxes) == 4**layer
        covered = np.zeros(size, bool)
        for x0, y0, x1, y1 in boxes:
            covered[y0:y1, x0:x1] = True
        assert covered.all()


@given(SIZES, LAYERS, OVERLAPS)
def test_neighbours_overlap_by_the_asked_share(size, layers, overlap):
    crops = plan_crops(size, layers, overlap)
    height, width = size
    for layer in range(1, layers + 1):
        least = int(overlap * min(size) * 2 / 2**layer)
        boxes = np.array([crop.box for crop in crops if crop.layer == layer])
        for start, end, side in ((0, 2, width), (1, 3, height)):
            starts, ends = np.unique(boxes[:, start]), np.unique(boxes[:, end])
            inside = starts < side
            assert ends.max() == side
            for index in range(1, inside.sum()):
                assert min(starts[index] + least, side) <= ends[index - 1]


@given(st.integers(1, 40))
def test_point_grids_are_the_official_ones_and_symmetric(side):
    grid = make_point_grid(side)
    np.testing.assert_allclose(grid, amg.build_point_grid(side), rtol=1e-14)
    np.testing.assert_allclose(np.sort(1 - grid, axis=0), np.sort(grid, axis=0), rtol=1e-12)


@given(st.data(), SIZES, st.integers(1, 2), OVERLAPS)
def test_boxes_near_an_edge_of_a_crop_are_the_official_ones(data, size, layers, overlap):
    crop = data.draw(st.sampled_from(plan_crops(size, layers, overlap)))
    x0, y0, _, _ = crop.box
    sides = st.tuples(*(st.integers(0, 300) for _ in range(4)))
    in_crop = np.array(data.draw(st.lists(sides, min_size=1, max_size=5)))
    official = amg.is_box_near_crop_edge(
        torch.tensor(in_crop), list(crop.box), [0, 0, size[1], size[0]]
    )
    ours = near_crop_edge(in_crop + np.array([x0, y0, x0, y0]), crop, size)
    np.testing.assert_array_equal(ours, official)
