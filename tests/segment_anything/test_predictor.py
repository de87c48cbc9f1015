"""What scripts do with the predictor beside the calls of the notebooks."""

import numpy as np
import pytest
import torch

from experiments.official import segment_anything
from sam_jax import InputError
from sam_jax import segment_anything as ours
from sam_jax.segment_anything import SamAutomaticMaskGenerator, SamPredictor
from sam_jax.segment_anything.build_sam import build_sam_tiny
from sam_jax.segment_anything.tensors import HostArray
from tests.segment_anything.conftest import assert_alike

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)


@pytest.fixture
def predictor(sam):
    predictor = SamPredictor(sam)
    predictor.set_image(IMAGE)
    return predictor


def test_arrays_come_out_where_arrays_go_in(predictor):
    boxes = np.array([[3.0, 4, 50, 60], [10, 20, 100, 70]], np.float32)
    of_arrays = predictor.predict_torch(None, None, boxes, multimask_output=False)
    of_tensors = predictor.predict_torch(
        None, None, torch.from_numpy(boxes), multimask_output=False
    )
    assert all(isinstance(tensor, torch.Tensor) for tensor in of_tensors)
    assert isinstance(of_arrays[1], HostArray)
    np.testing.assert_array_equal(of_arrays[0], of_tensors[0])


def test_no_prompt_of_many_gives_no_mask(predictor):
    masks, scores, low = predictor.predict_torch(None, None, torch.zeros(0, 4))
    assert (masks.shape, scores.shape, low.shape) == ((0, 3, 60, 100), (0, 3), (0, 3, 32, 32))


def test_refusals(predictor):
    with pytest.raises(InputError, match="one box, not 2"):
        predictor.predict(box=np.zeros((2, 4)))
    with pytest.raises(InputError, match="a label for every point"):
        predictor.predict(np.zeros((1, 2)))
    with pytest.raises(InputError, match='"RGB" or "BGR"'):
        predictor.set_image(IMAGE, "GBR")
    with pytest.raises(InputError, match="float64"):
        predictor.set_image(IMAGE / 255)
    with pytest.raises(InputError, match="longer side is 128"):
        predictor.set_torch_image(torch.zeros(1, 3, 100, 100), (50, 50))
    predictor.reset_image()
    for call in (predictor.predict, predictor.get_image_embedding):
        with pytest.raises(RuntimeError, match="set_image"):
            call()


def test_replaced_steps_are_used(sam, photo):
    class Doubled(SamAutomaticMaskGenerator):
        batches = 0

        def _process_batch(self, points, im_size, crop_box, orig_size):
            self.batches += 1
            return super()._process_batch(points, im_size, crop_box, orig_size)

    settings = {
        "points_per_side": 4,
        "points_per_batch": 8,
        "stability_score_thresh": 0.01,
        "pred_iou_thresh": 0.0,
    }
    settings |= {
        "box_nms_thresh": 0.95,
        "crop_nms_thresh": 0.95,
        "crop_n_layers": 1,
        "crop_n_points_downscale_factor": 2,
    }
    quick, stepwise = SamAutomaticMaskGenerator(sam, **settings), Doubled(sam, **settings)
    expected, records = quick.generate(IMAGE), stepwise.generate(IMAGE)
    assert stepwise.batches == 2 + 4
    assert len(records) == len(expected) > 3
    for one, other in zip(records, expected, strict=True):
        assert (one["bbox"], one["crop_box"]) == (other["bbox"], other["crop_box"])
        np.testing.assert_array_equal(one["segmentation"], other["segmentation"])


def test_what_was_set_on_the_model_counts(sam, official_sam):
    records = []
    for package, model in ((segment_anything, official_sam), (ours, sam)):
        model.mask_threshold = 0.4
        model.pixel_mean += 9
        settings = {"points_per_side": 2, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.01}
        records.append(package.SamAutomaticMaskGenerator(model, **settings).generate(IMAGE))
    assert len(records[0]) > 1
    assert_alike(*records)


@pytest.mark.slow
def test_the_small_model_says_what_it_needs(shipped_checkpoint):
    assert build_sam_tiny().image_encoder.img_size == 512
    sam = build_sam_tiny(shipped_checkpoint)
    predictor = SamPredictor(sam)
    predictor.set_image(IMAGE)
    kept = predictor.features, predictor.original_size, predictor.input_size
    click = {"point_coords": np.array([[40, 30]]), "point_labels": np.array([1])}
    masks, _, _ = predictor.predict(**click)
    predictor.set_image(IMAGE[::-1, ::-1].copy())
    predictor.features, predictor.original_size, predictor.input_size = kept
    np.testing.assert_array_equal(predictor.predict(**click)[0], masks)
    predictor.features = predictor.features.clone()
    with pytest.raises(InputError, match="needs more than these tensors hold"):
        predictor.predict(**click)
    tokens, _ = sam.prompt_encoder(None, torch.zeros(1, 4), None)
    assert not tokens.requires_grad
    sam.requires_grad_()
    with pytest.raises(InputError, match="sam-jax finetune"):
        sam.prompt_encoder(None, torch.zeros(1, 4), None)
