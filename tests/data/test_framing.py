import numpy as np
import pytest

from sam_jax.data.framing import PIXEL_MEAN, PIXEL_STD, Framing, frame_image, normalise
from sam_jax.inference.prompts import make_prompts, round_up
from sam_jax.types import InputError

FRAMING = Framing(original=(50, 100), fitted=(32, 64), frame=(64, 64))


def test_frame_keeps_proportions_and_fills_up_with_zero_after_normalising():
    image = np.full((50, 100, 3), 200, np.uint8)
    framed, framing = frame_image(image, (64, 64))
    assert framing == FRAMING
    normal = np.asarray(normalise(framed[None], np.array([framing.fitted])))[0]
    expected = (200 - np.array(PIXEL_MEAN)) / PIXEL_STD
    np.testing.assert_allclose(normal[:32], np.broadcast_to(expected, (32, 64, 3)), rtol=1e-5)
    assert not normal[32:].any()


def test_points_scale_with_the_rounded_sides():
    framing = Framing(original=(1200, 1800), fitted=(683, 1024), frame=(1024, 1024))
    np.testing.assert_allclose(
        framing.to_frame(np.array([[1800.0, 1200.0]])), [[1024, 683]], rtol=1e-6
    )


def test_prompts_are_in_official_order():
    prompts = make_prompts(
        FRAMING, point_coords=np.array([[[10.0, 20.0]]]), point_labels=np.array([[1]])
    )
    np.testing.assert_array_equal(prompts.labels[0], [[1, -1]])
    prompts = make_prompts(
        FRAMING,
        point_coords=np.array([[[10.0, 20.0]]]),
        point_labels=np.array([[0]]),
        boxes=np.array([[0.0, 0.0, 100.0, 50.0]]),
    )
    np.testing.assert_array_equal(prompts.labels[0], [[0, 2, 3, -2]])
    np.testing.assert_allclose(prompts.points[0, 0, 2], [64, 32])


def test_round_up():
    assert [round_up(n, (1, 2, 4)) for n in (1, 2, 3, 4, 5, 9)] == [1, 2, 4, 4, 8, 12]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "at least one prompt"),
        ({"point_coords": np.zeros((1, 2, 2))}, "go together"),
        (
            {"point_coords": np.zeros((1, 2, 2)), "point_labels": np.ones((1, 3), int)},
            "2 points a prompt need as many labels",
        ),
        (
            {"point_coords": np.zeros((1, 1, 2)), "point_labels": np.array([[4]])},
            "labels are 1",
        ),
        (
            {"point_coords": np.zeros((1, 1, 2)), "point_labels": np.array([[2]])},
            "corners of a box: one of each",
        ),
        ({"mask_inputs": np.zeros((1, 16, 8))}, "16x16"),
        ({"boxes": np.zeros((2, 4)), "mask_inputs": np.zeros((1, 16, 16))}, "different numbers"),
        ({"boxes": np.array([[0, 0, np.nan, 1]])}, "NaN"),
    ],
)
def test_prompts_that_make_no_sense(arguments, message):
    with pytest.raises(InputError, match=message):
        make_prompts(FRAMING, **arguments)
