"""Segmentations that would end the process in C code, or take all memory, are refused; other tools' forms are read."""

import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sam_jax.data.example import RecordError
from sam_jax.data.segmentations import encode_segmentation, find_problem
from sam_jax.ops.rle import decode_rle

from .conftest import HEIGHT, WIDTH

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = (HEIGHT, WIDTH)
TRIANGLE = [5.0, 5.0, 30.5, 8.0, 12.0, 25.0]
PAIRS = [[5.0, 5.0], [30.5, 8.0], [12.0, 25.0]]


@pytest.mark.parametrize(
    "bad",
    [
        *(pytest.param([[5, 5, 30, bad, 12, 25]], id=f"y {bad}") for bad in (math.nan, math.inf)),
        *(
            pytest.param([[bad, 5, 30, 8, 12, 25]], id=f"x {bad}")
            for bad in (-math.inf, 1e8, -1e30)
        ),
        pytest.param([[10**400, 5, 30, 8, 12, 25]], id="a whole number beyond all"),
        pytest.param([TRIANGLE, [5, 5, 30, math.nan, 12, 25]], id="the second polygon"),
        pytest.param([TRIANGLE[:-1]], id="an x without a y"),
        pytest.param([[5, 5, None, 8, 12, 25]], id="null"),
        pytest.param([[5, 5, "left", 8, 12, 25]], id="a word"),
        pytest.param([[[[5, 5]]]], id="too deep"),
        pytest.param("what?", id="text"),
        pytest.param(7, id="a number"),
        pytest.param({"counts": "abc"}, id="no size"),
        pytest.param({"size": [HEIGHT, WIDTH]}, id="no counts"),
    ],
)
def test_what_would_end_the_process(bad):
    assert find_problem(bad)
    if not isinstance(bad, dict):
        with pytest.raises(RecordError):
            encode_segmentation(bad, SIZE)


def test_an_outline_that_never_ends():
    there_and_back = [0, 0, 1000000, 1000000] * 50
    with pytest.raises(RecordError, match="the outline of a polygon is longer than"):
        encode_segmentation([there_and_back], SIZE)


@pytest.mark.parametrize(
    "segmentation",
    [[TRIANGLE], TRIANGLE, [PAIRS], PAIRS, [list(map(str, TRIANGLE))]],
    ids=["as COCO", "one list", "pairs", "pairs of one polygon", "texts"],
)
def test_forms_of_other_tools(segmentation):
    (rle,) = coco_mask.frPyObjects([TRIANGLE], *SIZE)
    assert find_problem(segmentation) is None
    np.testing.assert_array_equal(
        decode_rle(encode_segmentation(segmentation, SIZE)), coco_mask.decode(rle).astype(bool)
    )


def test_a_polygon_that_leaves_the_photo_is_cut_as_pycocotools_cuts_it():
    wide = [[-500.0, -20.0, 900.0, 10.0, 20.0, 700.0]]
    (rle,) = coco_mask.frPyObjects(wide, *SIZE)
    np.testing.assert_array_equal(
        decode_rle(encode_segmentation(wide, SIZE)), coco_mask.decode(rle).astype(bool)
    )
