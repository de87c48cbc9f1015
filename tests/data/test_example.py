import pickle

import numpy as np
import pytest

from sam_jax.data.example import LabelMasks, RecordError, RleMasks, mask_runs
from sam_jax.data.pixel_runs import draw_runs
from sam_jax.ops.rle import encode_rle

from .conftest import paint_masks

MASKS = paint_masks(0, 4)
SIZE = MASKS[0].shape


@pytest.mark.parametrize("compress", [False, True])
def test_run_length_encoded_masks(compress):
    masks = RleMasks([encode_rle(mask, compress=compress) for mask in MASKS], SIZE)
    assert len(masks) == 4
    for i, mask in enumerate(MASKS):
        np.testing.assert_array_equal(masks[i], mask)
    with pytest.raises(IndexError):
        masks[4]


@pytest.mark.parametrize(
    "mask", [np.zeros(SIZE, bool), np.ones(SIZE, bool), ~MASKS[0]], ids=["empty", "full", "corner"]
)
def test_run_length_encodings_at_the_edges(mask):
    masks = RleMasks([encode_rle(mask)], SIZE)
    np.testing.assert_array_equal(masks[0], mask)
    assert masks.runs(0).area == mask.sum()


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        (encode_rle(MASKS[0].T), "a mask is 30 wide and 44 high, but the photo is 44 wide and 30"),
        ({"size": list(SIZE), "counts": [3, 5]}, "do not fill 44x30"),
        ({"size": list(SIZE), "counts": [1400, -80]}, "do not fill 44x30"),
        ({"size": list(SIZE), "counts": []}, "not run-length encoded"),
        ({"size": list(SIZE), "counts": "\x7f"}, "not run-length encoded"),
        ({"size": list(SIZE), "counts": None}, "not run-length encoded"),
        ({"size": list(SIZE), "counts": ["a"]}, "not run-length encoded"),
        ({"size": list(SIZE)}, "not run-length encoded"),
        ({"size": 7, "counts": [7]}, "not run-length encoded"),
        ([[1, 2, 3, 4, 5, 6]], "not run-length encoded"),
    ],
)
def test_damaged_encodings_say_so(rle, message):
    masks = RleMasks([rle], SIZE)
    with pytest.raises(RecordError, match=message):
        masks[0]


def test_label_maps():
    labels = np.random.default_rng(0).choice(np.array([0, 3, 7], np.uint8), SIZE)
    masks = LabelMasks(labels)
    assert len(masks) == 2
    np.testing.assert_array_equal(masks[1], labels == 7)
    chosen = LabelMasks(labels, ids=[7, 5])
    np.testing.assert_array_equal(chosen[0], labels == 7)
    assert not chosen[1].any()
    with pytest.raises(IndexError):
        masks[2]


def test_plain_lists_have_runs_too():
    for masks in (MASKS, RleMasks([encode_rle(mask) for mask in MASKS], SIZE)):
        np.testing.assert_array_equal(draw_runs(mask_runs(masks, 2)), MASKS[2])


def test_masks_travel_between_processes():
    masks = pickle.loads(pickle.dumps(LabelMasks(np.eye(5, 7, dtype=np.int32))))
    np.testing.assert_array_equal(masks[0], np.eye(5, 7, dtype=bool))
