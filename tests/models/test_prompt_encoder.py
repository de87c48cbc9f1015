"""Tokens and dense maps against the official prompt encoder's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from sam_jax.models import PromptEncoderConfig
from sam_jax.models.prompt_encoder import PromptEncoder, encode_grid, encode_positions
from sam_jax.types import InputError, PointLabel, Prompts

PROMPTS = 3


@pytest.fixture
def encode(config, variables):
    """The tokens and dense maps of prompts."""
    encoder = config.image_encoder
    module = PromptEncoder(
        config.prompt_encoder, encoder.image_size, encoder.grid, np.dtype(np.float32)
    )
    weights = {name: variables[name]["prompt_encoder"] for name in ("params", "constants")}
    compute = jax.jit(module.apply)
    return lambda prompts: compute(weights, jax.tree.map(jnp.asarray, prompts))


@pytest.fixture
def gaussian(variables):
    return variables["constants"]["prompt_encoder"]["gaussian_matrix"]


def draw_points(draw, count):
    """x, y within 96 x 64 pixels."""
    return draw.uniform(0, 1, (PROMPTS, count, 2)).astype(np.float32) * np.array([96, 64], "f")


def test_positions_are_random_fourier_features(gaussian):
    points = np.array([[0.0, 1.0], [0.25, 0.5]], np.float32)
    angles = 2 * np.pi * (2 * points.astype(np.float64) - 1) @ gaussian
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
    np.testing.assert_allclose(encode_positions(points, gaussian), expected, atol=1e-5)


def test_grid_is_official_and_that_of_the_patches_centres(official, gaussian):
    ours = encode_grid((4, 6), gaussian)
    theirs = official.prompt_encoder.get_dense_pe()[0].permute(1, 2, 0)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    y, x = np.meshgrid((np.arange(4) + 0.5) / 4, (np.arange(6) + 0.5) / 6, indexing="ij")
    centres = np.stack([x, y], axis=-1).astype(np.float32)
    np.testing.assert_allclose(ours, encode_positions(centres, gaussian), atol=1e-5)


def test_points_are_official(official, encode, draw):
    points, labels = draw_points(draw, 4), draw.integers(0, 2, (PROMPTS, 4))
    theirs, _ = official.prompt_encoder(
        points=(torch.tensor(points), torch.tensor(labels)), boxes=None, masks=None
    )
    # The official encoder adds this point where there is no box.
    padded = np.concatenate([points, np.zeros((PROMPTS, 1, 2), "f")], axis=1)
    padded_labels = np.concatenate(
        [labels, np.full((PROMPTS, 1), PointLabel.NOT_A_POINT)], axis=1
    ).astype(np.int32)
    ours = encode(Prompts(padded[None], padded_labels[None]))
    np.testing.assert_allclose(ours.tokens[0], theirs, atol=1e-5)
    assert ours.present.all()


def test_boxes_with_points_are_official(official, encode, draw):
    points, labels = draw_points(draw, 1), draw.integers(0, 2, (PROMPTS, 1))
    corners = draw_points(draw, 2)
    theirs, _ = official.prompt_encoder(
        points=(torch.tensor(points), torch.tensor(labels)),
        boxes=torch.tensor(corners.reshape(PROMPTS, 4)),
        masks=None,
    )
    both = np.tile([PointLabel.TOP_LEFT, PointLabel.BOTTOM_RIGHT], (PROMPTS, 1))
    ours = encode(
        Prompts(
            np.concatenate([points, corners], axis=1)[None],
            np.concatenate([labels, both], axis=1)[None].astype(np.int32),
        )
    )
    np.testing.assert_allclose(ours.tokens[0], theirs, atol=1e-5)


def test_what_fills_up_is_absent(encode, draw):
    labels = np.array([[[PointLabel.FOREGROUND, PointLabel.ABSENT]]], np.int32)
    answer = encode(Prompts(draw_points(draw, 2)[None, :1], labels))
    np.testing.assert_array_equal(answer.present, [[[True, False]]])
    assert answer.tokens[0, 0, 0].any()
    assert not answer.tokens[0, 0, 1].any()


def test_masks_are_official(official, encode, draw):
    masks = 5 * draw.standard_normal((PROMPTS, 16, 24), np.float32)
    _, theirs = official.prompt_encoder(points=None, boxes=None, masks=torch.tensor(masks)[:, None])
    point = np.zeros((1, PROMPTS, 1, 2), np.float32)
    ours = encode(Prompts(point, np.ones((1, PROMPTS, 1), np.int32), masks[None]))
    np.testing.assert_allclose(ours.dense[0], theirs.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


def test_without_a_mask_one_vector_is_everywhere(official, encode):
    ours = encode(Prompts(np.zeros((1, 1, 1, 2), np.float32), np.ones((1, 1, 1), np.int32)))
    assert ours.dense.shape == (1, 1, 1, 1, 16)
    boxes = torch.tensor([[0.0, 0.0, 5.0, 5.0]])
    _, theirs = official.prompt_encoder(points=None, boxes=boxes, masks=None)
    np.testing.assert_array_equal(
        np.broadcast_to(ours.dense[0], (1, 4, 6, 16)), theirs.permute(0, 2, 3, 1)
    )


def test_masks_of_another_size_are_refused(encode):
    point, label = np.zeros((1, 1, 1, 2), np.float32), np.ones((1, 1, 1), np.int32)
    with pytest.raises(InputError, match=r"logits of \(16, 24\) \(h, w\), not \(24, 16\)"):
        encode(Prompts(point, label, np.zeros((1, 1, 24, 16), np.float32)))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [({"width": 7}, "width 7 must be even"), ({"mask_channels": 6}, "mask_channels 6 divisible")],
)
def test_impossible_sizes_are_refused(sizes, message):
    with pytest.raises(InputError, match=message):
        PromptEncoderConfig(**sizes)
