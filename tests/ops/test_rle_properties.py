"""What holds for every mask and every list of runs, against pycocotools."""

import contextlib

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from sam_jax.ops.rle import (
    compress_counts,
    decode_rle,
    decompress_counts,
    encode_packed,
    encode_rle,
)
from sam_jax.types import InputError

SIDES = st.integers(1, 20)


@st.composite
def masks(draw, sides=SIDES):
    return draw(hnp.arrays(bool, (draw(sides), draw(sides))))


@st.composite
def runs(draw):
    """Runs as an encoder writes them: none but the first is empty. Some are long, so that numbers take many chunks."""
    length = st.integers(1, 30) | st.integers(1, 1 << 22)
    return [draw(st.just(0) | length), *draw(st.lists(length, max_size=12))]


@given(masks(st.integers(0, 20)))
def test_decoding_gives_back_what_was_encoded(mask):
    for compress in (False, True):
        rle = encode_rle(mask, compress=compress)
        assert rle["size"] == list(mask.shape)
        np.testing.assert_array_equal(decode_rle(rle), mask)


@given(masks())
def test_masks_are_encoded_and_measured_as_by_pycocotools(mask):
    theirs = coco.encode(np.asfortranarray(mask, np.uint8))
    ours = encode_rle(mask, compress=True)
    assert ours == {"size": theirs["size"], "counts": theirs["counts"].decode()}
    assert coco.area(ours) == mask.sum()
    assert sum(encode_rle(mask)["counts"][1::2]) == mask.sum()


@given(masks())
def test_runs_alternate_and_fill_the_mask(mask):
    counts = encode_rle(mask)["counts"]
    assert sum(counts) == mask.size
    assert all(counts[1:])


@given(st.data(), SIDES, SIDES)
def test_a_packed_part_has_the_runs_of_the_whole_image(data, height, width):
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    part = data.draw(hnp.arrays(bool, (bottom - top, right - left)))
    image = np.zeros((height, width), bool)
    image[top:bottom, left:right] = part
    packed = np.packbits(part.T, axis=0)
    assert encode_packed(packed, (left, top), image.shape) == encode_rle(image)


@given(runs())
def test_runs_are_packed_as_by_pycocotools(counts):
    total = sum(counts)
    theirs = coco.frPyObjects({"size": [total, 1], "counts": counts}, total, 1)
    assert compress_counts(counts) == theirs["counts"].decode()


@given(st.lists(st.integers(0, 1 << 55), max_size=20))
def test_unpacking_gives_back_what_was_packed(counts):
    assert decompress_counts(compress_counts(counts)) == counts


@given(st.lists(st.integers(-3, 30), max_size=8) | st.text(max_size=12), SIDES, SIDES)
@example([2**62, 2**62, 2**62, 2**62, 6], 2, 3)  # in 64 bits they add up to 6
@example([2**64, 6], 2, 3)
@example("\ud800", 2, 3)  # which a JSON file can hold
def test_whatever_is_no_encoding_is_refused_as_such(counts, height, width):
    with contextlib.suppress(InputError):
        assert decode_rle({"size": [height, width], "counts": counts}).shape == (height, width)
