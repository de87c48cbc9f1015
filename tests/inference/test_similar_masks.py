import numpy as np
import pytest

from sam_jax.data.framing import frame_image
from sam_jax.inference.similar_masks import draw_similar, embed_masks, find_similar
from sam_jax.inference.steps import embed_images
from sam_jax.models import (
    ImageEncoderConfig,
    MaskDecoderConfig,
    Model,
    PromptEncoderConfig,
    SamConfig,
    init_variables,
)
from sam_jax.types import InputError


@pytest.fixture(scope="module")
def model():
    """A miniature with random weights, whose input is wider than high."""
    config = SamConfig(
        image_encoder=ImageEncoderConfig(
            image_size=(64, 96),
            width=32,
            depth=2,
            num_heads=2,
            window_size=2,
            global_blocks=(1,),
            out_channels=16,
        ),
        prompt_encoder=PromptEncoderConfig(width=16),
        mask_decoder=MaskDecoderConfig(width=16, mlp_width=64, iou_head_width=32),
    )
    return Model(config, init_variables(config))


@pytest.fixture(scope="module")
def drawing():
    """Striped and plain squares, each kind twice, on noise; and their masks, row by row."""
    draw = np.random.default_rng(0)
    image = draw.integers(90, 110, (120, 200, 3), dtype=np.uint8)
    masks = []
    for row, plain in ((10, True), (70, False)):
        for column in (20, 120):
            place = (slice(row, row + 40), slice(column, column + 40))
            image[place] = (200, 60, 60)
            if not plain:
                image[place][:, ::4] = 0
                image[place][:, 1::4] = 0
            mask = np.zeros(image.shape[:2], bool)
            mask[place] = True
            masks.append(mask)
    return image, masks


def test_masks_of_one_kind_are_nearest(model, drawing):
    image, masks = drawing
    features = embed_masks(model, image, masks)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    for query, twin in ((0, 1), (1, 0), (2, 3), (3, 2)):
        similar = find_similar(features[query], features)
        assert set(similar.numbers[:2].tolist()) == {query, twin}
        assert similar.similarities[0] == pytest.approx(1, abs=1e-5)
        assert similar.similarities[1] > similar.similarities[2] + 0.01


def test_a_feature_is_the_mean_over_the_mask_of_both_views(model, drawing):
    image, masks = drawing
    half = masks[2].copy()
    half[:, 40:] = False  # the left half, 40 x 20 pixels, of which the crop is 40 x 40
    crop = image[70:110, 10:50]
    views = [frame_image(np.ascontiguousarray(view), (64, 96)) for view in (crop, crop[:, ::-1])]
    assert views[0][1].fitted == (64, 64)
    framed, fitted = np.stack([view for view, _ in views]), np.full((2, 2), 64, np.int32)
    grid = np.asarray(model.sam.features_of(embed_images(model, framed, fitted)))
    mean = grid[:, :, 1:3].mean(axis=(0, 1, 2))  # of the 4 columns that the crop fills
    (found,) = embed_masks(model, image, [half])
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)
    (mirrored,) = embed_masks(model, np.ascontiguousarray(image[:, ::-1]), [half[:, ::-1]])
    np.testing.assert_allclose(found, mirrored, atol=1e-5)


def test_a_picture_of_them(model, drawing):
    image, masks = drawing
    features = embed_masks(model, image, masks)
    similar = find_similar(features[0], features[1:], 1)
    picture = draw_similar(image, masks[0], masks[1:], similar)
    changed = np.abs(picture.astype(int) - image).sum(axis=2) > 30
    assert changed[masks[0]].mean() > 0.9
    assert changed[masks[1]].mean() > 0.9
    assert changed[masks[2] | masks[3]].mean() < 0.1


def test_what_has_no_feature(model, drawing):
    image, masks = drawing
    assert embed_masks(model, image, []).shape == (0, 16)
    with pytest.raises(InputError, match="this mask is empty"):
        embed_masks(model, image, [np.zeros_like(masks[0])])
    with pytest.raises(InputError, match="count is a whole number of at least 1"):
        find_similar(np.zeros(2), np.zeros((3, 2)), 0)
