import numpy as np
import pytest

from sam_jax import SamAutomaticMaskGenerator, load
from sam_jax.inference.loading import load_clip_model
from sam_jax.inference.text_ranking import (
    TextMaskGenerator,
    explain_nothing_fits,
    match_masks,
    measure_similarities,
)
from sam_jax.models.clip import CLIP_TINY, embed_text
from sam_jax.ops.rle import decode_rle
from sam_jax.types import InputError, InputWarning
from tests.clip_models import make_colour_clip

SQUARES = {
    "red": (slice(20, 70), slice(20, 80)),
    "green": (slice(20, 80), slice(130, 180)),
    "blue": (slice(100, 145), slice(60, 130)),
}


@pytest.fixture(scope="module")
def drawing():
    """Three squares on grey."""
    image = np.full((160, 200, 3), 128, np.uint8)
    for channel, place in enumerate(SQUARES.values()):
        image[place] = 10
        image[(*place, channel)] = 240
    return image


@pytest.fixture(scope="module")
def masks(drawing):
    found = []
    for place in SQUARES.values():
        mask = np.zeros(drawing.shape[:2], bool)
        mask[place] = True
        found.append(mask)
    return found


@pytest.fixture(scope="module")
def clip():
    return make_colour_clip()


@pytest.fixture(scope="module")
def generator():
    return SamAutomaticMaskGenerator(
        load(image_size=128),
        points_per_side=8,
        pred_iou_thresh=0.4,
        stability_score_thresh=0.4,
        output_mode="coco_rle",
    )


def test_similarities_are_those_of_the_crops(clip, drawing, masks):
    phrases = embed_text(clip, ["red", "blue"])
    similarities = measure_similarities(clip, drawing, masks, phrases)
    assert similarities.shape == (3, 2)
    assert similarities[0, 0] > 0.95
    assert similarities[2, 1] > 0.95
    assert similarities[[0, 1, 1, 2], [1, 0, 1, 0]].max() < -0.3
    assert measure_similarities(clip, drawing, [], phrases).shape == (0, 2)


def test_a_bias_makes_probabilities(clip, drawing, masks):
    config = clip.config
    sigmoid = clip.replace(
        config=type(config)(
            text=config.text, image=config.image, width=config.width, has_logit_bias=True
        ),
        variables={
            "params": {
                **clip.variables["params"],
                "logit_scale": np.float32(np.log(10)).reshape(()),
                "logit_bias": np.float32(-5).reshape(()),
            }
        },
    )
    phrases = embed_text(clip, ["red", "blue"])
    cosines = measure_similarities(clip, drawing, masks, phrases)
    found = measure_similarities(sigmoid, drawing, masks, phrases)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(5 - 10 * cosines)), rtol=1e-4)


def test_each_mask_to_its_phrase_or_to_none():
    similarities = np.array([[0.3, 0.1], [0.25, 0.4], [0.1, 0.19], [0.2, 0.2]], np.float32)
    match = match_masks(similarities, 0.2)
    assert match.phrases.tolist() == [0, 1, -1, 0]
    np.testing.assert_allclose(match.similarities, [0.3, 0.4, 0.19, 0.2])


@pytest.mark.slow
def test_masks_of_a_drawing_by_their_colours(generator, clip, drawing, masks):
    everything = generator.generate(drawing)
    ranked = TextMaskGenerator(generator, clip, ["green", "red"], threshold=0.9)
    records = ranked.generate(drawing)
    assert {record["phrase"] for record in records} == {"green", "red"}
    assert len(records) < len(everything)
    similarities = [record["similarity"] for record in records]
    assert similarities == sorted(similarities, reverse=True)
    for phrase in ("green", "red"):
        best = next(record for record in records if record["phrase"] == phrase)
        mask, truth = decode_rle(best["segmentation"]), masks[list(SQUARES).index(phrase)]
        assert (mask & truth).sum() / (mask | truth).sum() > 0.8
    assert ranked.masks == len(everything)


def test_nothing_found_is_said(generator, clip, drawing):
    grey = np.full_like(drawing, 128)
    grey[SQUARES["blue"]] = 60
    ranked = TextMaskGenerator(generator, clip, ["green", "red"], threshold=0.999)
    assert explain_nothing_fits([ranked]) is None
    assert ranked.generate(grey) == []
    told = explain_nothing_fits([ranked])
    assert told.startswith(f"nothing found: of {ranked.masks} masks, none fits a phrase")
    assert "by --text-threshold 0.999 (the highest: " in told
    assert f"{ranked.highest[1]:.2f} for 'red'" in told


@pytest.mark.parametrize(
    ("phrases", "threshold", "told"),
    [
        ([], None, "at least one"),
        ("red", None, "at least one"),
        (["red", "red"], None, "twice"),
        (["red", ""], None, "empty"),
        (["red"], 2.0, "threshold is a number from -1 to 1"),
    ],
)
def test_wrong_phrases(generator, clip, phrases, threshold, told):
    with pytest.raises(InputError, match=told):
        TextMaskGenerator(generator, clip, phrases, threshold)


def test_without_a_clip_it_is_that_of_drawings_and_it_says_where_another_is(monkeypatch, tmp_path):
    monkeypatch.setattr("sam_jax.inference.loading.downloads_folder", lambda: tmp_path)
    with pytest.warns(InputWarning, match="`sam-jax download clip_vit_l_14_336` brings one"):
        clip = load_clip_model()
    assert clip.config == CLIP_TINY
    for phrase, word in (("a red wheel", "wheel"), ("колесо", "колесо"), ("!", "!")):
        with pytest.raises(InputError, match=f"{word}' is none of the few words") as error:
            embed_text(clip, [phrase])
        assert "\n" not in str(error.value)
        assert "`sam-jax download clip_vit_l_14_336` brings one" in str(error.value)
