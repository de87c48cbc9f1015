import json

import numpy as np
import pytest
from pycocotools import mask as coco

from sam_jax.ops.rle import (
    compress_counts,
    decode_rle,
    decompress_counts,
    encode_packed,
    encode_rle,
)
from sam_jax.types import InputError

RNG = np.random.default_rng(0)


def blob(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(rows - height / 3, columns - width / 2) < height / 3


MASKS = {
    "noise": RNG.random((13, 29)) < 0.5,
    "sparse": RNG.random((200, 31)) < 0.01,
    "blob": blob(480, 641),
    "empty": np.zeros((5, 7), bool),
    "full": np.ones((7, 5), bool),
    "one pixel, background": np.zeros((1, 1), bool),
    "one pixel, foreground": np.ones((1, 1), bool),
    "one row": RNG.random((1, 50)) < 0.5,
    "one column": RNG.random((50, 1)) < 0.5,
    "starts with the object": blob(9, 4) | (np.arange(4) == 0),
    "megapixels": blob(1500, 1100) & (RNG.random((1500, 1100)) < 0.9),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_agrees_with_pycocotools_both_ways(mask):
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = encode_rle(mask, compress=True)
    assert ours == {"size": theirs["size"], "counts": theirs["counts"].decode()}
    np.testing.assert_array_equal(decode_rle(ours), mask)

    runs = encode_rle(mask)
    assert coco.frPyObjects(runs, *mask.shape) == theirs
    np.testing.assert_array_equal(decode_rle(runs), mask)
    assert json.loads(json.dumps(runs)) == runs


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.97, 1.0])
@pytest.mark.parametrize(
    ("size", "corner"), [((13, 21), (0, 0)), ((9, 17), (4, 2)), ((13, 5), (3, 0))]
)
def test_packed_masks_have_the_same_runs(share, size, corner):
    part = np.random.default_rng(size[0]).uniform(size=size) < share
    image = np.zeros((13, 21), bool)
    rows, columns = (slice(c, c + side) for c, side in zip(corner[::-1], size, strict=True))
    image[rows, columns] = part
    assert encode_packed(np.packbits(part.T, axis=0), corner, image.shape) == encode_rle(image)


def test_long_runs_and_large_differences_survive_packing():
    counts = [0, 1, 2**31, 5, 3, 2**40, 1, 1, 2**20]
    assert decompress_counts(compress_counts(counts)) == counts


def test_no_runs_at_all():
    assert compress_counts([]) == ""
    assert decompress_counts("") == []
    assert decode_rle({"size": [0, 3], "counts": []}).shape == (0, 3)


@pytest.mark.parametrize(
    "counts", [[3, 4], [3, 9, 1], [13, -1], [], "", "0", "34"], ids=lambda counts: repr(counts)
)
def test_runs_that_do_not_fill_the_mask_are_refused(counts):
    with pytest.raises(InputError, match="mask of 3x4 = 12 pixels"):
        decode_rle({"size": [3, 4], "counts": counts})


@pytest.mark.parametrize("text", ["a b", "é", "T", "o" * 20 + "0"], ids=repr)
def test_strings_that_are_not_counts_are_refused(text):
    with pytest.raises(InputError, match="damaged run-length encoding"):
        decompress_counts(text)


@pytest.mark.parametrize("kind", [bytes, str, tuple, np.array])
def test_counts_of_any_kind(kind):
    """pycocotools gives bytes, and other tools tuples and arrays."""
    mask = np.random.default_rng(0).random((13, 7)) < 0.4
    rle = encode_rle(mask, compress=kind in (bytes, str))
    counts = rle["counts"].encode() if kind is bytes else kind(rle["counts"])
    np.testing.assert_array_equal(decode_rle({"size": (13, 7), "counts": counts}), mask)


@pytest.mark.parametrize("text", [b"0", b"\xff"])
def test_bytes_that_are_not_counts_are_refused(text):
    with pytest.raises(InputError, match="damaged run-length encoding"):
        decode_rle({"size": [13, 7], "counts": text})
