"""What a notebook shows, and what it says of arguments that are wrong."""

import numpy as np
import pytest

import sam_jax
from sam_jax.checkpoints import read_config
from sam_jax.inference.arguments import check_model
from sam_jax.inference.overlay import draw_everything, draw_overlay
from sam_jax.models import TINY, AutomaticThresholds, abstract_variables
from sam_jax.ops.arguments import check_image
from sam_jax.ops.rle import encode_rle
from sam_jax.types import InputError

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
MASKS = np.zeros((2, 20, 30), bool)
MASKS[0, 2:9, 3:12] = MASKS[1, 10:18, 15:28] = True


def test_every_public_name_is_there():
    assert {name for name in sam_jax.__all__ if not hasattr(sam_jax, name)} == set()
    assert set(sam_jax.__all__) <= set(dir(sam_jax))
    with pytest.raises(AttributeError, match="no attribute 'shew'"):
        sam_jax.shew  # noqa: B018


def test_shows_masks_of_any_number_of_axes_and_records():
    pictures = [sam_jax.show(IMAGE, masks) for masks in (MASKS[0], MASKS, MASKS[:, None])]
    np.testing.assert_array_equal(pictures[0], draw_overlay(IMAGE, MASKS[:1]))
    np.testing.assert_array_equal(pictures[1], draw_overlay(IMAGE, MASKS))
    np.testing.assert_array_equal(pictures[2], pictures[1])
    records = [{"segmentation": MASKS[0]}, {"segmentation": encode_rle(MASKS[1], compress=True)}]
    np.testing.assert_array_equal(sam_jax.show(IMAGE, records), draw_everything(IMAGE, list(MASKS)))
    marked = sam_jax.show(IMAGE, MASKS, points=[[5, 6]], labels=[1], boxes=[[3, 2, 12, 9]])
    assert (np.asarray(marked) != np.asarray(pictures[1])).any()
    assert marked.size == (30, 20)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("photo.jpg", "not 'photo.jpg'; np.asarray"),
        (IMAGE[:, :, 0], "np.stack"),
        (IMAGE.transpose(2, 0, 1), "np.moveaxis"),
        (IMAGE / 255, "not float64 of shape (20, 30, 3): make it bytes"),
        (np.zeros((20, 30, 4), np.uint8), "image[:, :, :3]"),
        (IMAGE[:0], "it is empty"),
        (None, "not None"),
    ],
    ids=["path", "grey", "channels first", "floats", "alpha", "empty", "none"],
)
def test_errors_speak_of_the_image_that_was_passed(image, message):
    with pytest.raises(InputError) as refused:
        check_image(image)
    assert message in str(refused.value)


def test_a_model_is_asked_for_where_it_is_given():
    with pytest.raises(InputError, match=r"as sam_jax.load\(\) gives it, not 'photo.jpg'"):
        check_model("photo.jpg")


@pytest.fixture(scope="module")
def variables():
    """Shapes of the small model's weights."""
    return abstract_variables(TINY)


def test_a_model_is_one_line(variables):
    assert repr(sam_jax.Model(TINY, variables)) == (
        "Model(ViT of width 192 and depth 8, input 512x512, 5.1 million parameters, float32, with additions)"
    )


def test_thresholds_go_with_the_weights(variables):
    config = read_config("default")
    assert config == TINY
    shipped = sam_jax.Model(config, variables)
    generator = sam_jax.SamAutomaticMaskGenerator(shipped)
    assert (generator.pred_iou_thresh, generator.stability_score_thresh) == (0.5, 0.6)
    chosen = sam_jax.SamAutomaticMaskGenerator(shipped, pred_iou_thresh=0.9)
    assert (chosen.pred_iou_thresh, chosen.stability_score_thresh) == (0.9, 0.6)
    official = sam_jax.VIT_B.automatic
    assert official == AutomaticThresholds()
    assert (official.pred_iou_thresh, official.stability_score_thresh) == (0.88, 0.95)
    with pytest.raises(InputError, match="from 0 to 1, not nan"):
        AutomaticThresholds(pred_iou_thresh=float("nan"))
