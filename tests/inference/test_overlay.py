import numpy as np

from sam_jax.inference.overlay import (
    BACKGROUND_COLOUR,
    FILL_OPACITY,
    FOREGROUND_COLOUR,
    draw_overlay,
    mask_colour,
)

IMAGE = np.full((120, 200, 3), 100, np.uint8)
NOTHING = np.zeros((0, 120, 200), bool)


def rectangle(rows, columns):
    mask = np.zeros((1, 120, 200), bool)
    mask[0, rows, columns] = True
    return mask


def tinted(number):
    return np.round(100 + FILL_OPACITY * (np.float32(mask_colour(number)) - 100))


def test_nothing_to_draw_leaves_the_photo():
    picture = draw_overlay(IMAGE, np.zeros((2, 120, 200), bool))
    np.testing.assert_array_equal(picture, IMAGE)
    assert picture is not IMAGE


def test_a_mask_is_tinted_inside_outlined_at_its_border_and_left_alone_outside():
    picture = draw_overlay(IMAGE, rectangle(slice(30, 90), slice(50, 150)))
    np.testing.assert_array_equal(picture[60, 100], tinted(0))
    for row, column in ((30, 100), (89, 100), (60, 50), (60, 149)):
        np.testing.assert_allclose(picture[row, column], mask_colour(0), atol=8)
    np.testing.assert_array_equal(picture[24, 100], [100, 100, 100])
    np.testing.assert_array_equal(picture[60, 156], [100, 100, 100])


def test_the_photos_edge_is_no_border_of_the_mask():
    picture = draw_overlay(IMAGE, rectangle(slice(0, 120), slice(0, 100)))
    for row, column in ((0, 50), (119, 50), (60, 0), (0, 0)):
        np.testing.assert_array_equal(picture[row, column], tinted(0))
    np.testing.assert_allclose(picture[0, 99], mask_colour(0), atol=8)


def test_a_single_pixel_still_shows():
    picture = draw_overlay(IMAGE, rectangle(slice(7, 8), slice(9, 10)))
    np.testing.assert_array_equal(picture[7, 9], tinted(0))


def test_masks_have_colours_of_their_own_and_later_ones_lie_on_top():
    masks = np.concatenate(
        [rectangle(slice(0, 120), slice(0, 120)), rectangle(slice(0, 120), slice(80, 200))]
    )
    picture = draw_overlay(IMAGE, masks)
    np.testing.assert_array_equal(picture[60, 40], tinted(0))
    np.testing.assert_array_equal(picture[60, 160], tinted(1))
    on_top = tinted(0) + FILL_OPACITY * (np.float32(mask_colour(1)) - tinted(0))
    np.testing.assert_allclose(picture[60, 100], on_top, atol=1)
    colours = np.array([mask_colour(number) for number in range(8)])
    distances = np.abs(colours[:, None] - colours).sum(axis=2)
    assert distances[~np.eye(8, dtype=bool)].min() > 60


def test_clicks_are_discs_with_a_sign():
    picture = draw_overlay(
        IMAGE,
        NOTHING,
        points=np.array([[40.0, 30.0], [150.4, 80.0]]),
        labels=np.array([1, 0]),
    )
    for x, y in ((40, 30), (150, 80)):
        np.testing.assert_array_equal(picture[y, x], [255, 255, 255])
    np.testing.assert_allclose(picture[28, 38], FOREGROUND_COLOUR, atol=20)
    np.testing.assert_allclose(picture[78, 148], BACKGROUND_COLOUR, atol=20)
    np.testing.assert_allclose(picture[82, 150], BACKGROUND_COLOUR, atol=20)
    np.testing.assert_array_equal(picture[50, 100], [100, 100, 100])


def test_a_click_in_a_corner_is_cut_off():
    points = np.array([[0.0, 0.0], [199.9, 119.9]])
    picture = draw_overlay(IMAGE, NOTHING, points=points, labels=np.array([1, 1]))
    np.testing.assert_array_equal(picture[[0, -1], [0, -1]], np.full((2, 3), 255))


def test_boxes_have_the_colours_of_their_masks():
    boxes = np.array([[20.0, 10.0, 60.0, 50.0], [100.0, 40.0, 180.0, 110.0]])
    picture = draw_overlay(IMAGE, NOTHING, boxes=boxes)
    for row, column in ((10, 40), (50, 40), (30, 20), (30, 60), (10, 20), (50, 60)):
        np.testing.assert_array_equal(picture[row, column], mask_colour(0))
    np.testing.assert_array_equal(picture[40, 140], mask_colour(1))
    np.testing.assert_array_equal(picture[75, 140], [100, 100, 100])


def test_lines_grow_with_the_photo():
    small = draw_overlay(IMAGE, rectangle(slice(30, 90), slice(50, 150)))
    big_mask = np.kron(rectangle(slice(30, 90), slice(50, 150)), np.ones((1, 16, 16), bool))
    big = draw_overlay(np.full((1920, 3200, 3), 100, np.uint8), big_mask)

    def line_width(row):
        return (
            np.abs(row[: row.shape[0] // 2] - np.float32(mask_colour(0))).max(axis=1) < 20
        ).sum()

    assert line_width(big[960]) >= 4 * line_width(small[60])
