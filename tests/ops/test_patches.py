import numpy as np
import pytest

from sam_jax.ops.patches import (
    count_visible,
    mask_patches,
    patchify,
    sine_cosine_positions,
    unpatchify,
)


def test_patches_are_rows_of_the_image_and_go_back():
    images = np.random.default_rng(0).standard_normal((2, 6, 12, 3), np.float32)
    patches = patchify(images, 3)
    assert patches.shape == (2, 8, 27)
    np.testing.assert_array_equal(patches[1, 6].reshape(3, 3, 3), images[1, 3:6, 6:9])
    np.testing.assert_array_equal(unpatchify(patches, 3, (2, 4)), images)


@pytest.mark.parametrize(("ratio", "seen"), [(0.75, 2), (0.0, 10), (0.5, 5)])
def test_a_mask_removes_what_has_the_most_noise(ratio, seen):
    noise = np.random.default_rng(1).random((3, 10), np.float32)
    mask = mask_patches(noise, ratio)
    assert count_visible(10, ratio) == seen == mask.visible.shape[1]
    for i in range(3):
        visible = np.argsort(noise[i])[:seen]
        np.testing.assert_array_equal(mask.visible[i], visible)
        np.testing.assert_array_equal(np.flatnonzero(mask.removed[i] == 0), np.sort(visible))
        np.testing.assert_array_equal(mask.places[i][visible], np.arange(seen))
        assert sorted(mask.places[i].tolist()) == list(range(10))


def test_positions_tell_columns_and_rows():
    table = sine_cosine_positions((2, 5), 8)
    assert table.shape == (11, 8)
    assert not table[0].any()
    row, column = 1, 3
    rates = np.array([1.0, 10000**-0.5])
    wanted = [
        *np.sin(column * rates),
        *np.cos(column * rates),
        *np.sin(row * rates),
        *np.cos(row * rates),
    ]
    np.testing.assert_allclose(table[1 + row * 5 + column], wanted, rtol=1e-6)
