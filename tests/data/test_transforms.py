import numpy as np
import pytest
from PIL import Image

from sam_jax.data.augmentation import LARGE_SCALE_JITTER, Augmentation, Placement, place_whole
from sam_jax.data.example import Example, RecordError
from sam_jax.data.framing import frame_image
from sam_jax.data.pixel_runs import find_runs
from sam_jax.data.transforms import frame_example, render_mask, render_photo

FRAME = (64, 96)
RNG = np.random.default_rng(0)
FLIPS = [(x, y, t) for x in (False, True) for y in (False, True) for t in (False, True)]


def smooth_photo(height: int, width: int) -> np.ndarray:
    small = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def example(masks, size=(128, 192)) -> Example:
    return Example("bay", smooth_photo(*size), masks)


def disc(y: float, x: float, radius: float, size=(128, 192)) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.hypot(rows - y, columns - x) < radius


def place(box, fitted, flip_x=False, flip_y=False, transpose=False) -> Placement:
    return Placement(box, flip_x, flip_y, transpose, fitted, FRAME)


@pytest.mark.parametrize("size", [(30, 44), (480, 641), (777, 300)])
def test_whole_photos_are_framed_as_for_the_predictor(size):
    photo = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    expected, framing = frame_image(photo, FRAME)
    placement = place_whole(size, FRAME)
    np.testing.assert_array_equal(render_photo(photo, placement), expected)
    assert placement.fitted == framing.fitted


@pytest.mark.parametrize(("flip_x", "flip_y", "transpose"), FLIPS)
def test_flips_move_photo_and_mask_alike(flip_x, flip_y, transpose):
    """The flipped photo framed is the framed photo flipped, and so is the mask: a size that cells don't divide."""
    size = (50, 70)
    photo, mask = smooth_photo(*size), disc(20, 40, 12, size)
    turned, turned_mask = (
        array[:: -1 if flip_y else 1, :: -1 if flip_x else 1] for array in (photo, mask)
    )
    if transpose:
        turned, turned_mask = turned.swapaxes(0, 1), turned_mask.swapaxes(0, 1)
    straight = place_whole(turned.shape[:2], FRAME)
    placement = straight._replace(
        box=(0.0, 0.0, 70.0, 50.0), flip_x=flip_x, flip_y=flip_y, transpose=transpose
    )
    ours = render_photo(photo, placement).astype(int)
    theirs = render_photo(np.ascontiguousarray(turned), straight).astype(int)
    assert np.abs(ours - theirs).max() <= 1
    np.testing.assert_array_equal(
        render_mask(find_runs(mask), placement), render_mask(find_runs(turned_mask), straight)
    )


def test_truth_is_the_average_over_cells():
    mask = RNG.random((64, 96)) < 0.5
    mask[:30, :50] = True
    expected = mask.reshape(16, 4, 24, 4).mean(axis=(1, 3)) >= 0.5
    assert not expected.all()
    np.testing.assert_array_equal(
        render_mask(find_runs(mask), place_whole((64, 96), FRAME)), expected
    )


def test_half_a_cell_is_enough_and_less_is_not():
    mask = np.zeros((64, 96), bool)
    mask[:4, :2] = True
    mask[8:12, :2] = True
    mask[8, 0] = False
    truth = render_mask(find_runs(mask), place_whole((64, 96), FRAME))
    assert truth[0, 0]
    assert truth.sum() == 1


def test_beyond_the_photo_is_no_object():
    mask = np.ones((64, 41), bool)
    truth = render_mask(find_runs(mask), place_whole((64, 41), FRAME))
    assert truth[:, :10].all()
    assert not truth[:, 10:].any()


@pytest.mark.parametrize("transpose", [False, True])
def test_a_cut_out_part_is_the_photo_cut_before(transpose):
    """Boxes on whole pixels, at twice the size: the same as cutting first, but for the border's interpolation."""
    photo, mask = smooth_photo(64, 96), disc(30, 50, 15, (64, 96))
    box = (20.0, 10.0, 52.0, 42.0) if transpose else (20.0, 10.0, 68.0, 42.0)
    placement = place(box, (64, 64) if transpose else (64, 96), transpose=transpose)
    left, top, right, bottom = map(int, box)
    cut, cut_mask = photo[top:bottom, left:right], mask[top:bottom, left:right]
    if transpose:
        cut, cut_mask = cut.swapaxes(0, 1), cut_mask.swapaxes(0, 1)
    straight = place_whole(cut.shape[:2], FRAME)
    np.testing.assert_array_equal(
        render_mask(find_runs(mask), placement), render_mask(find_runs(cut_mask), straight)
    )
    ours = render_photo(photo, placement)[4:60, 4:60].astype(int)
    theirs = render_photo(np.ascontiguousarray(cut), straight)[4:60, 4:60].astype(int)
    assert np.abs(ours - theirs).max() <= 1


def test_truth_lies_on_the_object_whatever_is_drawn():
    """A white disc on black: the framed photo itself says where the object is."""
    mask = disc(50, 120, 30)
    white = Example("disc", np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), [mask])
    augmentation = Augmentation(
        flip_horizontally=True, flip_vertically=True, transpose=True, scale=LARGE_SCALE_JITTER
    )
    ious = []
    for seed in range(40):
        framed = frame_example(white, FRAME, 1, augmentation, np.random.default_rng(seed))
        cells = framed.image[..., 0].reshape(16, 4, 24, 4).mean(axis=(1, 3)) >= 127.5
        ious.append((cells & framed.masks[0]).sum() / (cells | framed.masks[0]).sum())
    assert np.mean(ious) > 0.97


def test_masks_are_drawn_without_repetition_and_room_is_filled():
    masks = [disc(64, 20 + 30 * k, 12) for k in range(5)]
    framed = frame_example(example(masks), FRAME, 8, Augmentation(), np.random.default_rng(0))
    np.testing.assert_array_equal(framed.valid, [True] * 5 + [False] * 3)
    truths = {
        render_mask(find_runs(mask), place_whole((128, 192), FRAME)).tobytes() for mask in masks
    }
    assert {truth.tobytes() for truth in framed.masks[:5]} == truths
    assert not framed.masks[5:].any()
    few = [
        frame_example(example(masks), FRAME, 2, Augmentation(), np.random.default_rng(seed))
        for seed in range(20)
    ]
    assert all(framed.valid.all() for framed in few)
    assert len({framed.masks[0].tobytes() for framed in few}) == 5


@pytest.mark.parametrize(("power", "at_most"), [(0.0, 3), (0.5, 15)])
def test_masks_that_cannot_be_drawn_any_more_are_not_decoded(power, at_most):
    class Counting(list):
        decoded = 0

        def __getitem__(self, index):
            self.decoded += 1
            return super().__getitem__(index)

    masks = Counting([disc(64, 96, 20 + k) for k in range(30)])
    augmentation = Augmentation(area_power=power)
    frame_example(example(masks), FRAME, 3, augmentation, np.random.default_rng(0))
    assert 3 <= masks.decoded <= at_most


def test_masks_of_nearly_everything_and_of_nothing_are_dropped():
    nearly = np.ones((128, 192), bool)
    nearly[:12] = False
    below = np.ones((128, 192), bool)
    below[:14] = False
    speck = np.zeros((128, 192), bool)
    speck[9, 9] = True
    masks = [nearly, below, speck, np.zeros((128, 192), bool)]
    framed = frame_example(example(masks), FRAME, 4, Augmentation(), np.random.default_rng(0))
    assert framed.valid.sum() == 1
    assert framed.masks[0].sum() == 14 * 24


def test_masks_of_few_cells_can_be_left_out():
    masks = [disc(64, 40, 6), disc(64, 140, 40)]  # radii of less than one cell, and of five
    for min_cells, expected in ((1, 2), (20, 1), (60, 1)):
        augmentation = Augmentation(min_cells=min_cells)
        framed = frame_example(example(masks), FRAME, 2, augmentation, np.random.default_rng(0))
        assert framed.valid.sum() == expected
        assert framed.masks[framed.valid].sum(axis=(1, 2)).min() >= min_cells
    with pytest.raises(RecordError, match="tiny"):
        frame_example(
            example(masks), FRAME, 2, Augmentation(min_cells=200), np.random.default_rng(0)
        )


def test_large_masks_can_be_drawn_more_often():
    small, large = disc(64, 40, 10), disc(64, 130, 40)
    shares = []
    for power in (0.0, 1.0):
        augmentation, rng = Augmentation(area_power=power), np.random.default_rng(0)
        drawn = [
            frame_example(example([small, large]), FRAME, 1, augmentation, rng) for _ in range(400)
        ]
        shares.append(np.mean([framed.masks[0].sum() > 60 for framed in drawn]))
    assert shares[0] == pytest.approx(0.5, abs=0.08)
    assert shares[1] == pytest.approx(16 / 17, abs=0.04)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([], "bay: it has no masks"),
        ([np.zeros((128, 192), bool)] * 2, "bay: none of its 2 masks is of use"),
        ([np.ones((128, 192), bool)], "bay: none of its 1 masks is of use"),
    ],
)
@pytest.mark.parametrize("scale", [(1.0, 1.0), LARGE_SCALE_JITTER])
def test_without_a_mask_there_is_nothing_to_learn(masks, message, scale):
    with pytest.raises(RecordError, match=message):
        frame_example(example(masks), FRAME, 2, Augmentation(scale=scale), np.random.default_rng(0))


def test_a_part_without_masks_gives_way_to_the_whole():
    corner = np.zeros((128, 192), bool)
    corner[:6, :6] = True
    for seed in range(10):
        framed = frame_example(
            example([corner]), FRAME, 1, Augmentation(scale=(3.0, 3.0)), np.random.default_rng(seed)
        )
        assert framed.valid.all()
        assert framed.fitted == (64, 96)


def test_thin_photos_are_bad_records():
    thin = Example("strip", np.zeros((1, 900, 3), np.uint8), [np.ones((1, 900), bool)])
    with pytest.raises(RecordError, match="strip: the image is too thin"):
        frame_example(thin, FRAME, 1, Augmentation(), np.random.default_rng(0))


def test_draws_depend_on_the_seed_only():
    augmentation = Augmentation(
        flip_horizontally=True, transpose=True, scale=LARGE_SCALE_JITTER, colour=0.4
    )
    photo = example([disc(64, 20 + 30 * k, 12) for k in range(5)])
    one, again, other = (
        frame_example(photo, FRAME, 3, augmentation, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one.image != other.image).any()


def test_colour_jitter_is_the_matrix_written_out():
    photo = smooth_photo(64, 96)
    matrix, offset = np.array([[0.9, 0.1, 0.1], [0, 1.1, 0], [0.2, 0, 0.7]]), -0.2
    placement = place_whole((64, 96), FRAME)
    mean = np.asarray(Image.fromarray(photo).convert("L")).mean()
    expected = np.clip(photo @ matrix.T + offset * mean, 0, 255)
    changed = render_photo(photo, placement, (matrix, offset))
    np.testing.assert_allclose(changed, expected, atol=0.51)


def test_padding_stays_zero_whatever_the_colours():
    photo = example([disc(64, 96, 20)])
    framed = frame_example(
        photo, FRAME, 1, Augmentation(scale=(0.5, 0.5), colour=0.9), np.random.default_rng(0)
    )
    assert framed.fitted == (32, 48)
    assert not framed.image[32:].any()
    assert not framed.image[:, 48:].any()
    assert framed.image[:32, :48].any()
