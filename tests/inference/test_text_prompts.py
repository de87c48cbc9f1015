from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax import SamAutomaticMaskGenerator, SamPredictor, load
from sam_jax.checkpoints import save_clip
from sam_jax.data.framing import Framing
from sam_jax.inference.loading import load_clip_of
from sam_jax.inference.prompts import make_prompts
from sam_jax.inference.steps import predict_masks
from sam_jax.inference.text_prompts import segment_phrases
from sam_jax.inference.text_ranking import measure_similarities
from sam_jax.models import Model, init_variables
from sam_jax.models.clip import embed_prompts, embed_text
from sam_jax.types import InputError
from tests.clip_models import SMALL, make_clip_model, make_colour_clip
from tests.training.conftest import MINIATURE

SQUARES = (
    (0, (slice(20, 70), slice(20, 80))),
    (0, (slice(90, 150), slice(130, 180))),
    (2, (slice(100, 145), slice(30, 90))),
)
"""Two red squares and a blue one."""
ON_RED = {"point_coords": np.array([[[50.0, 45]]]), "point_labels": np.ones((1, 1))}


WIDER = MINIATURE.with_image_size((64, 96))


@pytest.fixture(scope="session")
def plain():
    return load(image_size=128)


@pytest.fixture(scope="module")
def drawing():
    image = np.full((160, 200, 3), 128, np.uint8)
    for channel, place in SQUARES:
        image[place] = 10
        image[(*place, channel)] = 240
    return image


def add_projection(config, variables):
    """A model with a projection that says little."""
    encoder = replace(config.prompt_encoder, text_width=3)
    config = replace(config, prompt_encoder=encoder)
    fresh = init_variables(config)["params"]["prompt_encoder"]["text_projection"]
    params = dict(variables["params"])
    params["prompt_encoder"] = params["prompt_encoder"] | {
        "text_projection": jax.tree.map(lambda leaf: jnp.asarray(0.1 * leaf), fresh)
    }
    return Model(config, {**variables, "params": params})


@pytest.fixture(scope="module")
def predictor(drawing):
    """A model whose masks are at random."""
    variables = jax.tree.map(jnp.asarray, init_variables(WIDER, seed=3))
    predictor = SamPredictor(add_projection(WIDER, variables), make_colour_clip())
    predictor.set_image(drawing)
    return predictor


def test_a_phrase_is_its_embedding_beside_the_other_prompts(predictor):
    _, iou, low = predictor.predict(ON_RED["point_coords"][0], np.ones(1), text="red")
    text = embed_text(predictor.require_clip(), ["red"])
    framing = Framing((160, 200), predictor.input_size, (64, 96))
    prompts = make_prompts(framing, text=text, **ON_RED)
    expected = predict_masks(
        predictor.model, predictor.embedding.features, prompts, multimask_output=True
    )
    np.testing.assert_allclose(low, expected.logits[0, 0], atol=1e-4)
    other = predictor.predict(ON_RED["point_coords"][0], np.ones(1), text="blue")
    assert np.abs(other[2] - low).max() > 1e-3
    masks, both, _ = predictor.predict_batch(
        np.repeat(ON_RED["point_coords"], 2, axis=0), np.ones((2, 1)), text=["red", "blue"]
    )
    assert masks.shape == (2, 3, 160, 200)
    np.testing.assert_allclose(both, [iou, other[1]], atol=1e-4)


def test_phrases_move_to_where_images_are_but_are_judged_where_they_are(predictor):
    clip, shift = predictor.require_clip(), np.array([0.5, 0, -1], np.float32)
    moved = clip.replace(
        config=replace(clip.config, has_prompt_shift=True),
        variables={"params": {**clip.variables["params"], "prompt_shift": shift}},
    )
    text = embed_text(clip, ["red"])
    expected = (text + shift) / np.linalg.norm(text + shift)
    np.testing.assert_allclose(embed_prompts(moved, ["red"]), expected, atol=1e-6)
    np.testing.assert_array_equal(embed_prompts(clip, ["red"]), text)
    np.testing.assert_array_equal(embed_text(moved, ["red"]), text)
    other = SamPredictor(predictor.model, moved)
    other.embedding = predictor.embedding
    _, _, low = other.predict(ON_RED["point_coords"][0], np.ones(1), text="red")
    prompts = make_prompts(
        Framing((160, 200), predictor.input_size, (64, 96)), text=expected, **ON_RED
    )
    answer = predict_masks(
        predictor.model, predictor.embedding.features, prompts, multimask_output=True
    )
    np.testing.assert_allclose(low, answer.logits[0, 0], atol=1e-4)


def test_a_phrase_with_a_point_has_no_threshold(predictor, drawing):
    found = segment_phrases(predictor, drawing, ["blue"], **ON_RED)
    masks, iou, _ = predictor.predict_batch(text=["blue"], **ON_RED)
    np.testing.assert_array_equal(found.masks[0, 0], masks[0, iou[0].argmax()])
    assert found.predicted_iou == iou.max()
    similarity = float(found.similarities[0])
    clip = predictor.require_clip()
    features = embed_text(clip, ["blue"])
    assert similarity == measure_similarities(clip, drawing, list(found.masks[0]), features)
    assert -1 <= similarity < 0.9
    assert found.explain_missing("threshold") is None
    alone = segment_phrases(predictor, drawing, ["blue"], threshold=similarity + 0.01, **ON_RED)
    assert not len(alone.masks)


def test_nothing_is_said_to_be_found_that_does_not_fit(predictor, drawing):
    answer = segment_phrases(predictor, drawing, ["red", "green"], threshold=1)
    assert answer.masks.shape == (0, 1, 160, 200)
    assert answer.predicted_iou.shape == (0, 1)
    red, green = answer.highest
    assert answer.explain_missing("--text-threshold") == (
        f"nothing found that fits 'red' (the highest: {red:.2f}), 'green' (the highest: {green:.2f}) "
        "by --text-threshold 1"
    )


@pytest.mark.slow
def test_all_objects_of_a_phrase(plain, drawing):
    predictor = SamPredictor(add_projection(plain.config, plain.variables), make_colour_clip())
    predictor.set_image(drawing)
    generator = SamAutomaticMaskGenerator(
        predictor.model, points_per_side=4, pred_iou_thresh=0.4, stability_score_thresh=0.4
    )
    phrases = ["red", "green", "blue"]
    answer = segment_phrases(predictor, drawing, phrases, threshold=0.994, generator=generator)
    # Of the blue square a piece counts as another one, as this CLIP looks at colours only.
    assert answer.numbers.tolist()[:3] == [0, 0, 2]
    assert set(answer.numbers.tolist()) == {0, 2}
    assert [answer.describe(index)["phrase"] for index in range(3)] == ["red", "red", "blue"]
    assert "nothing found that fits 'green' (the" in str(answer.explain_missing("threshold"))
    for place in SQUARES:
        truth = np.zeros((160, 200), bool)
        truth[place[1]] = True
        iou = [(truth & mask).sum() / (truth | mask).sum() for mask in answer.masks[:, 0]]
        assert max(iou) > 0.8


def test_bad_input(predictor, plain, drawing):
    with pytest.raises(InputError, match=r"not trained with text.*vit_h_text.*generate --text"):
        SamPredictor(plain, make_colour_clip())
    with pytest.raises(InputError, match="not trained with text"):
        SamPredictor(plain).require_clip()
    with pytest.raises(InputError, match="width of 3, and this one's have 20"):
        SamPredictor(predictor.model, make_clip_model(SMALL))
    without = SamPredictor(predictor.model)
    without.embedding = predictor.embedding
    with pytest.raises(InputError, match="phrases need the CLIP"):
        without.predict(text="red")
    with pytest.raises(InputError, match="this one is empty"):
        predictor.predict(text="  ")
    with pytest.raises(InputError, match="a list of at least one"):
        segment_phrases(predictor, drawing, "red")
    with pytest.raises(InputError, match="give one phrase with them"):
        segment_phrases(predictor, drawing, ["red", "blue"], **ON_RED)
    with pytest.raises(InputError, match="another size"):
        segment_phrases(predictor, drawing[:50], ["red"])
    with pytest.raises(InputError, match="different numbers"):
        predictor.predict_batch(text=["red", "blue"], **ON_RED)


def test_the_clip_of_weights(predictor, plain, monkeypatch, tmp_path):
    save_clip(tmp_path / "clip", predictor.require_clip())
    assert load_clip_of(predictor.model, tmp_path / "clip").config.width == 3
    monkeypatch.setattr("sam_jax.inference.loading.downloads_folder", lambda: tmp_path)
    with pytest.raises(InputError, match=r"none is here: `sam-jax download clip_vit_l_14_336`"):
        load_clip_of(predictor.model)
    with pytest.raises(InputError, match="not trained with text"):
        load_clip_of(plain, tmp_path / "clip")


@pytest.mark.parametrize("phrase", ["red " * 300, "красный круг", "红色", "🔴"])
def test_long_phrases_and_other_scripts_have_an_answer(predictor, phrase):
    _, iou, _ = predictor.predict(text=phrase)
    assert np.isfinite(iou).all()
