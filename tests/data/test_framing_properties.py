"""What holds for images and frames of every size, against the official `ResizeLongestSide`."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from experiments.official import segment_anything
from sam_jax.data.framing import Framing, frame_image
from sam_jax.ops.resize import fit_size
from sam_jax.types import InputError

SIZES = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
FRAMES = st.tuples(st.integers(16, 1024), st.integers(16, 1024))


def fit(size, frame):
    """The fitted size, of images that are not too thin to have one."""
    scale = min(frame[0] / size[0], frame[1] / size[1])
    assume(min(size) * scale >= 0.5)
    return fit_size(*size, frame)


@st.composite
def framings(draw, frames=FRAMES):
    size, frame = draw(SIZES), draw(frames)
    return Framing(size, fit(size, frame), frame)


@given(SIZES, st.integers(16, 1024))
def test_a_square_frame_is_the_official_rule(size, side):
    official = segment_anything.utils.transforms.ResizeLongestSide
    assert fit(size, (side, side)) == official.get_preprocess_shape(*size, side)


@given(framings())
def test_the_image_fills_the_frame_one_way_and_keeps_its_proportions(framing):
    (height, width), fitted, frame = framing
    assert 1 <= fitted[0] <= frame[0]
    assert 1 <= fitted[1] <= frame[1]
    assert fitted[0] == frame[0] or fitted[1] == frame[1]
    scale = min(frame[0] / height, frame[1] / width)
    assert fitted == pytest.approx((height * scale, width * scale), abs=0.5 + 1e-9)


@given(SIZES, FRAMES)
def test_only_images_with_no_pixel_left_on_a_side_are_refused(size, frame):
    scale = min(frame[0] / size[0], frame[1] / size[1])
    assume(abs(min(size) * scale - 0.5) > 1e-9)
    if min(size) * scale > 0.5:
        assert min(fit_size(*size, frame)) >= 1
    else:
        with pytest.raises(InputError, match="too thin"):
            fit_size(*size, frame)


@given(framings(), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9))
def test_points_stay_where_they_are_in_the_image(framing, places):
    places = np.array(places)
    ours = framing.to_frame(places * framing.original[::-1])
    np.testing.assert_allclose(ours, places * framing.fitted[::-1], rtol=1e-6, atol=1e-6)


@given(
    framings(st.integers(16, 1024).map(lambda side: (side, side))),
    hnp.arrays(np.float64, (2, 3, 2), elements=st.floats(-100, 5000)),
)
def test_points_are_moved_as_by_the_official_transform(framing, points):
    transform = segment_anything.utils.transforms.ResizeLongestSide(framing.frame[0])
    official = transform.apply_coords(points, framing.original)
    np.testing.assert_allclose(framing.to_frame(points), official, rtol=1e-6, atol=1e-6)


@given(framings(), hnp.arrays(np.float64, (4, 2), elements=st.floats(0, 5000)))
def test_rows_and_columns_are_alike(framing, points):
    turned = framing.transposed
    assert turned.fitted == fit_size(*turned.original, turned.frame)
    assert turned.transposed == framing
    np.testing.assert_array_equal(
        turned.to_frame(points[:, ::-1])[:, ::-1], framing.to_frame(points)
    )


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(16, 48), st.integers(16, 48)),
    st.integers(0, 255),
)
def test_an_image_of_one_colour_lies_in_the_upper_left_corner(size, frame, value):
    height, width = fitted = fit(size, frame)
    framed, framing = frame_image(np.full((*size, 3), value, np.uint8), frame)
    assert framing == Framing(size, fitted, frame)
    assert (framed[:height, :width] == value).all()
    assert not framed[height:].any()
    assert not framed[:, width:].any()
