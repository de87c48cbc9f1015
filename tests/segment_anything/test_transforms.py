"""Photos and coordinates on their way to the padded input, against the official class."""

import numpy as np
import pytest
import torch

from experiments.official import segment_anything
from sam_jax.segment_anything.utils.transforms import ResizeLongestSide
from tests.segment_anything.conftest import assert_alike

SIZES = {"wide": (30, 47), "tall": (301, 99), "square": (64, 64)}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_photos_points_and_boxes(size):
    theirs, mine = segment_anything.utils.transforms.ResizeLongestSide(96), ResizeLongestSide(96)
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (*size, 3), np.uint8)
    assert_alike(theirs.apply_image(image), mine.apply_image(image))
    points, boxes = draw.uniform(0, 30, (4, 2)), draw.integers(0, 30, (5, 4))
    assert_alike(theirs.apply_coords(points, size), mine.apply_coords(points, size))
    assert_alike(theirs.apply_boxes(boxes, size), mine.apply_boxes(boxes, size))
    for values in (torch.from_numpy(points), torch.from_numpy(boxes[:, :2])):
        assert_alike(theirs.apply_coords_torch(values, size), mine.apply_coords_torch(values, size))
    values = torch.from_numpy(boxes)
    assert_alike(theirs.apply_boxes_torch(values, size), mine.apply_boxes_torch(values, size))
    of_arrays = mine.apply_boxes_torch(boxes, size)
    assert of_arrays.dtype == np.float32
    np.testing.assert_allclose(of_arrays, theirs.apply_boxes_torch(values, size))


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_photos_as_tensors_are_resized_by_their_height_and_width(size):
    # The official class of version 1.0 takes the sizes of the first two axes, images and colours, instead.
    photos = torch.rand(2, 3, *size)
    resized = ResizeLongestSide(96).apply_image_torch(photos)
    expected = torch.nn.functional.interpolate(
        photos, resized.shape[2:], mode="bilinear", antialias=True
    )
    assert max(resized.shape[2:]) == 96
    assert_alike(expected, resized)
