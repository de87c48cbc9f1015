from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.models.clip import (
    CLIP_VIT_B_16,
    CLIP_VIT_B_32,
    CLIP_VIT_L_14,
    CLIP_VIT_L_14_336,
    Clip,
    ClipModel,
    abstract_clip,
    compare,
    embed_images,
    embed_pixels,
    embed_text,
    embed_tokens,
    init_clip,
)
from sam_jax.types import InputError
from tests.clip_models import SMALL

encode_tokens, encode_pixels = jax.jit(embed_tokens), jax.jit(embed_pixels)


@pytest.fixture(scope="module")
def model():
    return ClipModel(SMALL, init_clip(SMALL))


@pytest.fixture(scope="module")
def draw():
    return np.random.default_rng(3)


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (CLIP_VIT_B_32, 151_277_313),
        (CLIP_VIT_B_16, 149_620_737),
        (CLIP_VIT_L_14, 427_616_513),
        (CLIP_VIT_L_14_336, 427_944_193),
    ],
)
def test_published_sizes(config, count):
    assert sum(leaf.size for leaf in jax.tree.leaves(abstract_clip(config))) == count


def test_a_word_behind_the_end_changes_nothing_and_one_before_it_does(model, draw):
    tokens = draw.integers(0, 98, (1, 12)).astype(np.int32)
    tokens[0, 5] = 99
    behind, before = tokens.copy(), tokens.copy()
    behind[0, 6:] = 7
    before[0, 4] += 1
    one, same, other = encode_tokens(model, np.concatenate([tokens, behind, before]))
    np.testing.assert_allclose(one, same, atol=1e-6)
    assert np.abs(one - other).max() > 1e-3


def test_the_highest_token_is_the_end_where_none_is_named(model):
    tokens = np.full((3, 12), 99, np.int32)
    tokens[:, :3] = [[98, 4, 5], [98, 6, 7], [98, 98, 8]]
    unnamed = model.replace(config=replace(SMALL, text=replace(SMALL.text, end_of_text=None)))
    np.testing.assert_array_equal(encode_tokens(model, tokens), encode_tokens(unnamed, tokens))
    # The word of the end need not be the highest: the last phrase alone differs before it.
    tokens = np.full((3, 6), 50, np.int32)
    tokens[:, :4] = [[98, 4, 50, 5], [98, 4, 50, 99], [98, 99, 50, 5]]
    named = model.replace(config=replace(SMALL, text=replace(SMALL.text, end_of_text=50)))
    one, same, other = encode_tokens(named, tokens)
    np.testing.assert_allclose(one, same, atol=1e-6)
    assert np.abs(one - other).max() > 1e-3


def test_features_are_of_unit_length_and_not_before(model, draw):
    pixels = draw.standard_normal((2, 24, 40, 3), np.float32)
    encode = jax.jit(Clip(SMALL).apply, static_argnames="method")
    plain = encode(model.variables, pixels, method="encode_image")
    lengths = np.linalg.norm(plain, axis=1)
    assert np.abs(lengths - 1).min() > 1e-3
    np.testing.assert_allclose(encode_pixels(model, pixels), plain / lengths[:, None], atol=1e-6)


def test_attention_of_the_last_block_is_confined_to_the_patches(model, draw):
    """Without attention before it, what lies on the other patches is not seen at all."""
    config = replace(SMALL, image=replace(SMALL.image, depth=1))
    shallow = ClipModel(config, init_clip(config))
    one = draw.standard_normal((1, 24, 40, 3), np.float32)
    other = one.copy()
    other[:, 8:16, 16:24] += 5  # the patch in row 1, column 2
    pixels = np.concatenate([one, other])
    patches = np.ones((2, 3, 5), bool)
    free = embed_pixels(shallow, pixels)
    np.testing.assert_array_equal(embed_pixels(shallow, pixels, patches), free)
    assert np.abs(free[0] - free[1]).max() > 1e-3
    patches[:, 1, 2] = False
    confined = embed_pixels(shallow, pixels, patches)
    np.testing.assert_allclose(confined[0], confined[1], atol=1e-6)
    # In a deeper model only the last block is confined.
    assert np.abs(np.subtract(*embed_pixels(model, pixels, patches))).max() > 1e-4
    # Nothing of the object visible: the class token alone, not NaN.
    assert np.isfinite(embed_pixels(model, pixels, np.zeros((2, 3, 5), bool))).all()


def test_numbers_of_images_share_programs(model, draw):
    pixels = draw.standard_normal((11, 24, 40, 3), np.float32)
    patches = draw.random((11, 3, 5)) < 0.5
    together = embed_images(model, pixels, patches)
    apart = np.concatenate(
        [embed_images(model, pixels[i : i + 1], patches[i : i + 1]) for i in range(2)]
    )
    np.testing.assert_allclose(together[:2], apart, atol=1e-6)
    assert embed_images(model, pixels[:0]).shape == (0, 20)


def test_logits_are_scaled_cosines_and_a_bias(draw):
    config = replace(SMALL, has_logit_bias=True)
    variables = init_clip(config)
    assert np.exp(variables["params"]["logit_scale"]) == pytest.approx(10)
    model = ClipModel(config, variables)
    images, phrases = np.eye(20, dtype=np.float32)[:2], np.eye(20, dtype=np.float32)[1:4]
    np.testing.assert_allclose(
        compare(model, images, phrases), [[-10, -10, -10], [0, -10, -10]], atol=1e-5
    )
    plain = ClipModel(SMALL, init_clip(SMALL))
    np.testing.assert_allclose(compare(plain, images, phrases)[1, 0], 1 / 0.07, rtol=1e-6)


def test_initial_weights_are_those_of_the_module():
    config = replace(SMALL, has_logit_bias=True)
    ours = init_clip(config)
    shapes = jax.tree.map(jnp.shape, ours)
    assert shapes == jax.tree.map(lambda leaf: leaf.shape, abstract_clip(config))
    again, other = init_clip(config), init_clip(config, 1)
    assert jax.tree.all(jax.tree.map(np.array_equal, ours, again))
    kernel = ours["params"]["text"]["blocks_1"]["mlp"]["lin2"]["kernel"]
    assert kernel.std() == pytest.approx(48**-0.5, rel=0.1)
    assert not np.array_equal(kernel, other["params"]["text"]["blocks_1"]["mlp"]["lin2"]["kernel"])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: replace(SMALL.text, num_heads=5), "width 32 is a multiple of num_heads 5"),
        (lambda: replace(SMALL.text, end_of_text=100), "end_of_text 100 is no token"),
        (lambda: replace(SMALL.text, context=2), "context is a whole number of at least 3"),
        (lambda: replace(SMALL.image, image_size=(24, 41)), "24x41 .* multiples of the patch size"),
        (lambda: replace(SMALL.image, activation="relu"), "activation is quick_gelu or gelu"),
        (lambda: replace(SMALL, width=0), "width is a whole number"),
    ],
)
def test_impossible_sizes(wrong, told):
    with pytest.raises(InputError, match=told):
        wrong()


def test_wrong_inputs(model):
    with pytest.raises(InputError, match=r"takes images of 24x40 pixels \(h x w\), not 40x24"):
        embed_pixels(model, np.zeros((1, 40, 24, 3), np.float32))
    with pytest.raises(InputError, match=r"has \(3, 5\) patches \(down, across\), not \(5, 3\)"):
        embed_pixels(model, np.zeros((1, 24, 40, 3), np.float32), np.zeros((1, 5, 3), bool))
    with pytest.raises(InputError, match="a phrase has 1 to 12 tokens, not 13"):
        embed_tokens(model, np.zeros((1, 13), np.int32))
    with pytest.raises(InputError, match="loaded without its words"):
        embed_text(model, ["a wheel"])
