"""Attention between tokens and image, and the whole transformer, against the official ones."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from sam_jax.models.transformer import Attention, TwoWayBlock, TwoWayTransformer

FLOAT32 = jnp.dtype("float32")
FEW, MANY = 3, 9
"""Tokens: with two heads of four, the image is left unprojected for up to four."""


@pytest.fixture
def official_transformer(official):
    return official.mask_decoder.transformer


@pytest.fixture
def params(variables):
    return variables["params"]["mask_decoder"]["transformer"]


def attention(inner_width):
    return Attention(16, inner_width, 2, FLOAT32)


def test_attention_is_official(apply, official_transformer, params, draw):
    query, key, value = (draw.standard_normal((n, 16), np.float32) for n in (5, 7, 7))
    theirs = official_transformer.layers[0].self_attn(
        *(torch.tensor(x)[None] for x in (query, key, value))
    )
    ours = apply(attention(16), params["layers_0"]["self_attn"], query, key, value)
    np.testing.assert_allclose(ours, theirs[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tokens", [FEW, MANY], ids=["absorbed", "projected"])
def test_tokens_attend_to_the_image(apply, official_transformer, params, draw, tokens):
    query, key, value = (draw.standard_normal((n, 16), np.float32) for n in (tokens, 24, 24))
    theirs = official_transformer.layers[0].cross_attn_token_to_image(
        *(torch.tensor(x)[None] for x in (query, key, value))
    )
    weights = params["layers_0"]["cross_attn_token_to_image"]
    ours = apply(attention(8), weights, query, key, value, method="to_image")
    np.testing.assert_allclose(ours, theirs[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tokens", [FEW, MANY], ids=["absorbed", "projected"])
def test_the_image_attends_to_tokens_that_are_present(
    apply, official_transformer, params, draw, tokens
):
    query, key, value = (draw.standard_normal((n, 16), np.float32) for n in (24, tokens, tokens))
    present = np.arange(tokens) != 1
    theirs = official_transformer.layers[0].cross_attn_image_to_token(
        *(torch.tensor(x)[None] for x in (query, key[present], value[present]))
    )
    weights = params["layers_0"]["cross_attn_image_to_token"]
    ours = apply(attention(8), weights, query, key, value, present, method="to_tokens")
    np.testing.assert_allclose(ours, theirs[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("index", [0, 1], ids=["the first", "another"])
def test_blocks_are_official(apply, official_transformer, params, draw, index):
    tokens, positions = (draw.standard_normal((5, 16), np.float32) for _ in range(2))
    image, image_positions = (draw.standard_normal((24, 16), np.float32) for _ in range(2))
    theirs = official_transformer.layers[index](
        *(torch.tensor(x)[None] for x in (tokens, image, positions, image_positions))
    )
    block = TwoWayBlock(16, 2, 20, index == 0, FLOAT32)
    weights, present = params[f"layers_{index}"], np.ones(5, bool)
    ours = apply(block, weights, tokens, image, positions, image_positions, present)
    for mine, reference in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, reference[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [FEW, MANY], ids=["absorbed", "projected"])
def test_the_transformer_is_official_and_ignores_what_is_absent(
    apply, official_transformer, params, draw, count
):
    tokens = draw.standard_normal((count, 16), np.float32)
    image, positions = draw.standard_normal((2, 4, 6, 16), np.float32)
    present = np.arange(count) != 1
    theirs = official_transformer(
        *(torch.tensor(x).permute(2, 0, 1)[None] for x in (image, positions)),
        torch.tensor(tokens[present])[None],
    )
    transformer = TwoWayTransformer(2, 16, 2, 20, FLOAT32)
    of_tokens, of_image = apply(
        transformer, params, tokens, image.reshape(24, 16), positions.reshape(24, 16), present
    )
    np.testing.assert_allclose(of_tokens[present], theirs[0][0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(of_image, theirs[1][0], rtol=1e-4, atol=1e-4)
