"""What `predict` and `predict_batch` do with prompts that are for no object, for several, or for none that exists."""

import pickle
import subprocess
import sys
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from sam_jax import TINY, InputError, Model, SamPredictor
from sam_jax.inference import EmbeddedImage, embed_images, predict_masks
from sam_jax.models import abstract_variables, init_variables
from sam_jax.types import Prompts

CONFIG = replace(
    TINY,
    fine=None,
    image_encoder=replace(
        TINY.image_encoder,
        image_size=(64, 96),
        width=24,
        depth=2,
        num_heads=3,
        global_blocks=(1,),
        window_size=3,
    ),
)
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
BOXES = np.array([[3.0, 4, 30, 20], [10, 8, 45, 36], [0, 0, 20, 39]])


@pytest.fixture(scope="module")
def predictor():
    predictor = SamPredictor(Model(CONFIG, init_variables(CONFIG, seed=0)))
    predictor.set_image(IMAGE)
    return predictor


@pytest.fixture(scope="module")
def answers(predictor):
    """To three boxes: masks as logits, predicted IoU, low-resolution logits."""
    return predictor.predict_batch(boxes=BOXES, multimask_output=False, return_logits=True)


def test_masks_of_several_objects_are_refused(predictor, answers):
    """The masks of all but the first were lost."""
    low = answers[2][:, 0]
    with pytest.raises(
        InputError, match=r"mask_input is .* of one mask, .* not \(3, 16, 24\).*low_re"
    ):
        predictor.predict(mask_input=low, multimask_output=False)
    with pytest.raises(InputError, match=r"of one mask, of shape \(1, h, w\), not \(16, 24\)"):
        predictor.predict(mask_input=low[0], multimask_output=False)
    with pytest.raises(InputError, match=r"of one mask, of shape \(1, h, w\), not \(0, 16, 24\)"):
        predictor.predict(mask_input=low[:0], multimask_output=False)
    each = predictor.predict_batch(mask_inputs=low, multimask_output=False)[2]
    one = predictor.predict(mask_input=low[1:2], multimask_output=False)[2]
    np.testing.assert_allclose(one, each[1], atol=1e-4)
    assert np.abs(one - each[0]).max() > 1e-3


def test_several_boxes_or_objects_of_points_name_the_call_that_takes_them(predictor):
    with pytest.raises(
        InputError, match=r"one box .*, not an array of shape \(3, 4\); predict_batch\(b"
    ):
        predictor.predict(box=BOXES)
    with pytest.raises(
        InputError, match=r"point_coords of shape \(p, 2\), not \(3, 1, 2\); predict_bat"
    ):
        predictor.predict(BOXES[:, None, :2], np.ones((3, 1), int))
    with pytest.raises(
        InputError, match=r"point_labels of shape \(p,\), not \(1, 3\); predict_batch"
    ):
        predictor.predict(BOXES[:, :2], np.ones((1, 3), int))
    with pytest.raises(InputError, match=r"one box x0, y0, x1, y1, not an array of shape \(3,\)"):
        predictor.predict(box=BOXES[0, :3])
    flat, nested = (
        predictor.predict(box=box, multimask_output=False)[1] for box in (BOXES[0], BOXES[:1])
    )
    np.testing.assert_array_equal(flat, nested)


EMPTY = {
    "boxes": {"boxes": np.zeros((0, 4))},
    "points": {"point_coords": np.zeros((0, 3, 2)), "point_labels": np.zeros((0, 3), int)},
    "masks": {"mask_inputs": np.zeros((0, 16, 24))},
    "boxes and masks": {"boxes": np.zeros((0, 4)), "mask_inputs": np.zeros((0, 16, 24))},
}


@pytest.mark.parametrize("prompts", EMPTY)
@pytest.mark.parametrize("multimask_output", [True, False])
def test_no_objects_have_no_masks(predictor, prompts, multimask_output):
    count = 3 if multimask_output else 1
    for is_logits, dtype in ((False, bool), (True, np.float32)):
        masks, iou, low = predictor.predict_batch(
            **EMPTY[prompts], multimask_output=multimask_output, return_logits=is_logits
        )
        assert (masks.shape, masks.dtype) == ((0, count, 40, 50), dtype)
        assert (iou.shape, iou.dtype) == ((0, count), np.float32)
        assert (low.shape, low.dtype) == ((0, count, 16, 24), np.float32)


def test_no_points_beside_a_box_change_nothing(predictor, answers):
    _, iou, low = predictor.predict_batch(
        np.zeros((3, 0, 2)), np.zeros((3, 0), int), BOXES, multimask_output=False
    )
    np.testing.assert_allclose(iou, answers[1], atol=1e-5)
    np.testing.assert_allclose(low, answers[2], atol=1e-4)


def test_labels_2_and_3_are_the_corners_of_a_box(predictor, answers):
    corners, labels = BOXES.reshape(3, 2, 2), np.tile([2, 3], (3, 1))
    _, iou, low = predictor.predict_batch(corners, labels, multimask_output=False)
    np.testing.assert_allclose(iou, answers[1], atol=1e-5)
    np.testing.assert_allclose(low, answers[2], atol=1e-4)
    # In any order, with a click, and beside an object that has none.
    points = np.stack(
        [np.array([[45, 36], [20, 20], [10, 8]]), np.array([[5, 5], [9, 9], [7, 30]])]
    )
    _, _, mixed = predictor.predict_batch(
        points, np.array([[3, 1, 2], [1, 0, 1]]), multimask_output=False
    )
    for index, (coords, labels, box) in enumerate(
        (([[20, 20]], [1], BOXES[1]), (points[1], [1, 0, 1], None))
    ):
        _, _, alone = predictor.predict(
            np.array(coords), np.array(labels), box, multimask_output=False
        )
        np.testing.assert_allclose(mixed[index], alone, atol=1e-4)


@pytest.mark.parametrize("labels", [[2, 1], [1, 3], [2, 2], [4, 1], [-2, 1]])
def test_half_a_box_is_refused(predictor, labels):
    with pytest.raises(InputError, match=r"labels are 1|two corners of a box: one of each"):
        predictor.predict(BOXES[:2, :2], np.array(labels))


RESTORE = """
import pickle, sys
from pathlib import Path
import numpy as np
from sam_jax import Model, SamPredictor
from sam_jax.models import init_variables

config, kept, box = pickle.loads(Path(sys.argv[1]).read_bytes())
predictor = SamPredictor(Model(config, init_variables(config, seed=0)))
predictor.embedding = kept
masks, iou, low = predictor.predict(box=box, multimask_output=False)
np.savez(sys.argv[2], masks=masks, iou=iou, low=low, size=predictor.original_size)
"""


def test_an_embedding_is_kept_in_a_file_and_used_in_another_process(predictor, tmp_path):
    kept = jax.device_get(predictor.embedding)
    assert isinstance(kept, EmbeddedImage)
    (tmp_path / "a.pickle").write_bytes(pickle.dumps((CONFIG, kept, BOXES[1])))
    command = [sys.executable, "-c", RESTORE, tmp_path / "a.pickle", tmp_path / "b.npz"]
    subprocess.run(command, check=True, capture_output=True)
    masks, iou, low = predictor.predict(box=BOXES[1], multimask_output=False)
    with np.load(tmp_path / "b.npz") as found:
        assert found["size"].tolist() == [40, 50]
        np.testing.assert_array_equal(found["masks"], masks)
        np.testing.assert_allclose(found["iou"], iou, atol=1e-5)
        np.testing.assert_allclose(found["low"], low, atol=1e-4)


def test_an_embedding_is_a_pytree_that_is_set_again(predictor, answers):
    leaves, structure = jax.tree.flatten(predictor.embedding)
    kept = jax.tree.unflatten(structure, [np.asarray(leaf) for leaf in leaves])
    other = SamPredictor(predictor.model)
    other.embedding = kept
    assert other.original_size == (40, 50)
    assert other.input_size == predictor.input_size
    np.testing.assert_array_equal(other.get_image_embedding(), predictor.get_image_embedding())
    again = other.predict_batch(boxes=BOXES, multimask_output=False, return_logits=True)
    for found, expected in zip(again, answers, strict=True):
        np.testing.assert_array_equal(found, expected)
    other.embedding = None
    assert not other.is_image_set
    assert other.embedding is None


def test_embeddings_of_other_models_are_refused(predictor):
    wide = replace(CONFIG, image_encoder=replace(CONFIG.image_encoder, image_size=(96, 96)))
    other = SamPredictor(Model(wide, predictor.model.variables))
    with pytest.raises(
        InputError, match=r"of another model: its arrays are \(1, 4, 6, 128\), and th"
    ):
        other.embedding = predictor.embedding
    assert not other.is_image_set
    fine = SamPredictor(Model(replace(CONFIG, fine=TINY.fine), predictor.model.variables))
    with pytest.raises(InputError, match="of another model"):
        fine.embedding = predictor.embedding
    framing = predictor.embedding.framing._replace(frame=(96, 64))
    with pytest.raises(
        InputError, match=r"framing .* is not of this model, whose input is \(64, 96\)"
    ):
        predictor.embedding = predictor.embedding._replace(framing=framing)
    assert predictor.is_image_set


@pytest.mark.parametrize(("images", "prompts"), [(1, 0), (0, 1)])
def test_the_functions_below_take_empty_batches(predictor, images, prompts):
    model = predictor.model
    framed, fitted = np.zeros((images, 64, 96, 3), np.uint8), np.full((images, 2), 60, np.int32)
    asked = Prompts(
        np.zeros((images, prompts, 2, 2), np.float32), np.ones((images, prompts, 2), np.int32)
    )
    embeddings = embed_images(model, framed, fitted)
    logits, iou = predict_masks(model, embeddings, asked, multimask_output=True)
    assert logits.shape == (images, prompts, 3, 16, 24)
    assert iou.shape == (images, prompts, 3)
    # The model with additions, without computing.
    fine = replace(CONFIG, fine=TINY.fine)
    model = Model(fine, abstract_variables(fine))
    embeddings = jax.eval_shape(embed_images, model, framed, fitted)
    logits, iou = jax.eval_shape(
        partial(predict_masks, multimask_output=True), model, embeddings, asked
    )
    assert logits.shape == (images, prompts, 3, 16, 24)
