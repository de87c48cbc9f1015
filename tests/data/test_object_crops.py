import numpy as np
import pytest
import transformers
from PIL import Image

from sam_jax.data.object_crops import CLIP_MEAN, CLIP_STD, CropBox, crop_object, find_crop
from sam_jax.types import InputError


def undo(pixels):
    """Colours from 0 to 255."""
    return 255 * (pixels * np.array(CLIP_STD) + np.array(CLIP_MEAN))


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(1, 256, (40, 60, 3), dtype=np.uint8)


def box_mask(top, left, bottom, right, shape=(40, 60)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_box_grows_about_its_centre_and_has_the_shape_of_the_images():
    mask = box_mask(10, 20, 14, 30)
    assert find_crop(mask) == CropBox(20, 7, 10, 10)
    assert find_crop(mask, 2) == CropBox(15, 2, 20, 20)
    assert find_crop(mask, 1, aspect=2) == CropBox(20, 9.5, 10, 5)
    assert find_crop(box_mask(0, 0, 10, 4), 1.5) == CropBox(-5.5, -2.5, 15, 15)


def test_a_crop_that_is_not_resized_is_the_photo(photo):
    crop = crop_object(photo, box_mask(8, 20, 24, 36), (16, 16), 4)
    np.testing.assert_allclose(undo(crop.pixels), photo[8:24, 20:36], atol=1e-3)
    assert crop.patches.all()
    wide = crop_object(photo, box_mask(8, 16, 24, 48), (16, 32), 4)
    np.testing.assert_allclose(undo(wide.pixels), photo[8:24, 16:48], atol=1e-3)
    assert wide.patches.shape == (4, 8)


def test_beyond_the_photo_and_without_background_it_is_black(photo):
    mask = box_mask(0, 52, 8, 60)
    mask[0, 52] = False  # the box stays
    crop = crop_object(photo, mask, (16, 16), 4, growth=2, zero_background=True)
    colours = undo(crop.pixels)
    expected = np.zeros((16, 16, 3))
    expected[4:12, 4:12] = photo[:8, 52:]
    expected[4, 4] = 0
    np.testing.assert_allclose(colours, expected, atol=1e-3)
    kept = undo(crop_object(photo, mask, (16, 16), 4, growth=2).pixels)
    np.testing.assert_allclose(kept[4:16, :12], photo[:12, 48:], atol=1e-3)
    assert np.abs(kept[:4]).max() < 1e-3
    assert np.abs(kept[:, 12:]).max() < 1e-3


def test_patches_are_those_that_the_object_reaches_into(photo):
    mask = box_mask(8, 20, 24, 36)
    mask[12:, 24:] = False  # an L of the upper and the left strip
    mask[20, 30] = True  # and one pixel
    patches = crop_object(photo, mask, (16, 16), 4).patches
    expected = np.zeros((4, 4), bool)
    expected[0], expected[:, 0], expected[3, 2] = True, True, True
    np.testing.assert_array_equal(patches, expected)


def test_resized_as_clips_own_preprocessing_does(photo):
    processor = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24}
    )
    ours = crop_object(photo, box_mask(0, 10, 40, 50), (24, 24), 8).pixels
    theirs = processor(Image.fromarray(photo[:, 10:50]), return_tensors="np")["pixel_values"][0]
    np.testing.assert_allclose(ours, theirs.transpose(1, 2, 0), atol=1e-5)


def test_impossible_crops(photo):
    with pytest.raises(InputError, match="this mask is empty"):
        crop_object(photo, np.zeros((40, 60), bool), (16, 16), 4)
    with pytest.raises(InputError, match="growth is a number of at least 1, not"):
        find_crop(np.ones((4, 4), bool), 0.5)
