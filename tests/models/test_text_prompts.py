"""Text prompts: one more token, and nothing else."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.data.framing import Framing
from sam_jax.inference.prompts import make_prompts, take_prompts
from sam_jax.models import (
    FineConfig,
    Model,
    decode_masks,
    encode_prompts,
    init_variables,
    without_text,
)
from sam_jax.types import InputError, PointLabel, Prompts

POINTS = np.array([[[[20.0, 30.0], [0, 0]], [[60.0, 12.0], [0, 0]]]], np.float32)
LABELS = np.array([[[1, -1], [1, -1]]], np.int32)


encode = jax.jit(encode_prompts)


def unit(rng, count, width=6):
    text = rng.standard_normal((1, count, width)).astype(np.float32)
    return text / np.linalg.norm(text, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def model(config):
    config = replace(config, prompt_encoder=replace(config.prompt_encoder, text_width=6))
    return Model(config, jax.tree.map(jnp.asarray, init_variables(config, seed=2)))


def test_text_is_a_token_beside_the_others(model, draw):
    text = unit(draw, 2)
    plain = encode(without_text(model), Prompts(POINTS, LABELS))
    both = encode(model, Prompts(POINTS, LABELS, text=text))
    np.testing.assert_array_equal(both.tokens[:, :, :2], plain.tokens)
    np.testing.assert_array_equal(both.dense, plain.dense)
    projection = jax.device_get(model.variables["params"]["prompt_encoder"]["text_projection"])
    expected = text.astype(np.float64) @ projection["kernel"] + projection["bias"]
    np.testing.assert_allclose(both.tokens[:, :, 2], expected, atol=1e-6)
    assert both.present.all()


def test_an_embedding_of_zeros_is_no_text(model, draw):
    text = unit(draw, 2)
    text[:, 1] = 0
    prompts = encode(model, Prompts(POINTS, LABELS, text=text))
    np.testing.assert_array_equal(prompts.present, [[[1, 1, 1], [1, 1, 0]]])
    image = draw.standard_normal((1, 4, 6, 16)).astype(np.float32)
    decode = jax.jit(partial(decode_masks, multimask_output=True))
    with_text = decode(model, image, prompts)
    without = decode(model, image, encode(model, Prompts(POINTS, LABELS)))
    np.testing.assert_allclose(with_text.logits[:, 1], without.logits[:, 1], atol=1e-5)
    assert np.abs(with_text.logits[:, 0] - without.logits[:, 0]).max() > 1e-3


def test_a_model_without_text_is_what_it_was(config, model):
    plain = init_variables(config, seed=2)
    assert jax.tree.all(
        jax.tree.map(np.array_equal, jax.device_get(without_text(model).variables), plain)
    )
    assert without_text(model).config == config
    assert "text_projection" not in plain["params"]["prompt_encoder"]
    assert "with text prompts" in repr(model)
    assert "text" not in repr(without_text(model))


def test_text_for_another_model_is_refused(model, draw):
    with pytest.raises(InputError, match="have no text projection"):
        encode_prompts(without_text(model), Prompts(POINTS, LABELS, text=unit(draw, 2)))
    with pytest.raises(InputError, match="have a width of 6, not 7"):
        encode_prompts(model, Prompts(POINTS, LABELS, text=unit(draw, 2, 7)))


def test_another_phrase_compiles_nothing(model, draw):
    count = 0

    @jax.jit
    def counted(model, prompts):
        nonlocal count
        count += 1
        return encode_prompts(model, prompts)

    answers = [counted(model, Prompts(POINTS, LABELS, text=unit(draw, 2))) for _ in range(3)]
    assert count == 1
    assert not np.array_equal(answers[0].tokens, answers[1].tokens)


def test_the_small_models_additions_see_no_click_in_text(config, draw):
    config = replace(
        config,
        prompt_encoder=replace(config.prompt_encoder, text_width=6),
        fine=FineConfig(width=8, cost_kinds=2),
    )
    model = Model(config, jax.tree.map(jnp.asarray, init_variables(config)))
    prompts = encode(model, Prompts(POINTS, LABELS, text=unit(draw, 2)))
    np.testing.assert_array_equal(
        prompts.clicks, [[[[7, 5, 1], [-1] * 3, [-1] * 3], [[3, 15, 1], [-1] * 3, [-1] * 3]]]
    )
    assert prompts.tokens.shape == (1, 2, 3, 16)


def test_text_has_the_padding_point_unless_there_is_a_box(draw):
    framing = Framing((64, 96), (64, 96), (64, 96))
    text = unit(draw, 1)[0]
    alone = make_prompts(framing, text=text)
    np.testing.assert_array_equal(alone.labels, [[[PointLabel.NOT_A_POINT, PointLabel.ABSENT]]])
    np.testing.assert_array_equal(alone.text, text[None])
    point = {"point_coords": np.full((1, 1, 2), 9.0), "point_labels": np.ones((1, 1))}
    with_point = make_prompts(framing, text=text, **point)
    np.testing.assert_array_equal(with_point.labels, make_prompts(framing, **point).labels)
    with_box = make_prompts(framing, text=text, boxes=np.array([[1.0, 2, 30, 40]]))
    np.testing.assert_array_equal(with_box.labels, [[[2, 3]]])
    with pytest.raises(InputError, match="different numbers of prompts"):
        make_prompts(framing, text=unit(draw, 2)[0], **point)
    with pytest.raises(InputError, match="a mask or text"):
        make_prompts(framing)


def test_all_parts_of_prompts_are_taken_together(draw):
    masks = draw.standard_normal((1, 2, 16, 24)).astype(np.float32)
    prompts = Prompts(POINTS, LABELS, masks, unit(draw, 2))
    second = take_prompts(prompts, slice(1, 2))
    for whole, part in zip(prompts, second, strict=True):
        assert whole is not None
        np.testing.assert_array_equal(part, whole[:, 1:])
