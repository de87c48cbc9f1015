import numpy as np

from sam_jax.training.pictures import (
    ANSWER,
    COLOURS,
    GAP,
    HIDDEN,
    TRUTH,
    draw_reconstructions,
    draw_sessions,
)
from sam_jax.types import PointLabel

SIZE = (32, 48)


def squares(rows, columns):
    mask = np.zeros((2, 8, 12), bool)
    mask[:, rows, columns] = True
    return mask


def test_rows_are_images_and_columns_prompts_answers_and_truth():
    fitted = np.array([[32, 40], [24, 48]], np.int32)
    picture = draw_sessions(
        np.full((2, *SIZE, 3), 100, np.uint8),
        fitted,
        np.array([[[20.0, 10.0], [0.0, 0.0]], [[4.0, 4.0], [40.0, 20.0]]], np.float32),
        np.array(
            [
                [PointLabel.FOREGROUND, PointLabel.NOT_A_POINT],
                [PointLabel.TOP_LEFT, PointLabel.BOTTOM_RIGHT],
            ]
        ),
        squares(slice(1, 3), slice(1, 4)),
        squares(slice(1, 5), slice(1, 6)),
        squares(slice(2, 5), slice(2, 6)),
    )
    assert picture.shape == (32 + 24 + 2 * GAP, 4 * (48 + GAP), 3)
    first, second = picture[:32], picture[32 + GAP : 32 + GAP + 24]
    assert tuple(first[10, 20]) == COLOURS[PointLabel.FOREGROUND]
    assert tuple(first[4, 40 + GAP + 4]) == ANSWER
    assert tuple(first[19, 2 * (40 + GAP) + 23]) == ANSWER
    assert tuple(first[19, 3 * (40 + GAP) + 23]) == TRUTH
    assert tuple(first[14, 3 * (40 + GAP) + 14]) == (162, 138, 60)  # 0.4 of the colour, 0.6 of 100
    assert (first[:, 40 : 40 + GAP] == 255).all()
    assert (first[:, 4 * (40 + GAP) :] == 255).all()
    assert tuple(second[4, 20]) == COLOURS[PointLabel.TOP_LEFT]
    assert tuple(second[12, 20]) == (100, 100, 100)
    assert (picture[-GAP:] == 255).all()


def test_wide_pictures_are_scaled_down():
    size, low = (160, 640), (40, 160)
    nothing = np.zeros((1, *low), bool)
    picture = draw_sessions(
        np.full((1, *size, 3), 50, np.uint8),
        np.array([[160, 640]], np.int32),
        np.zeros((1, 1, 2), np.float32),
        np.array([[PointLabel.ABSENT]]),
        nothing,
        nothing,
        nothing,
    )
    assert picture.shape == (80 + GAP, 4 * (320 + GAP), 3)
    assert (picture[:80, :320] == 50).all()


def test_reconstructions_show_the_photo_what_was_seen_and_what_was_painted():
    removed = np.zeros((2, *SIZE), bool)
    removed[1, :16] = True
    picture = draw_reconstructions(
        np.full((2, *SIZE, 3), 100, np.uint8), np.full((2, *SIZE, 3), 30, np.uint8), removed
    )
    assert picture.shape == (2 * (32 + GAP), 3 * (48 + GAP), 3)
    columns = [picture[:, start : start + 48] for start in range(0, 3 * (48 + GAP), 48 + GAP)]
    assert all((column[:32] == 100).all() for column in columns)
    second = [column[32 + GAP : 64 + GAP] for column in columns]
    assert (second[0] == 100).all()
    for view, hidden in ((second[1], HIDDEN), (second[2], 30)):
        assert (view[:16] == hidden).all()
        assert (view[16:] == 100).all()
