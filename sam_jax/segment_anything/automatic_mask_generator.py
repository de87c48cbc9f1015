"""Masks for everything in an image, with everything that scripts touch on the official class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sam_jax import inference
from sam_jax.models import Model
from sam_jax.models.config import AutomaticThresholds
from sam_jax.ops.nms import box_nms
from sam_jax.segment_anything.modeling import Sam
from sam_jax.segment_anything.modeling.module import Part
from sam_jax.segment_anything.predictor import SamPredictor
from sam_jax.segment_anything.tensors import as_array, like, without_gradient
from sam_jax.segment_anything.utils.amg import (
    MaskData,
    area_from_rle,
    batch_iterator,
    batched_mask_to_box,
    box_xyxy_to_xywh,
    build_all_layer_point_grids,
    calculate_stability_score,
    coco_encode_rle,
    generate_crop_boxes,
    is_box_near_crop_edge,
    mask_to_rle_pytorch,
    remove_small_regions,
    rle_to_mask,
    uncrop_boxes_xyxy,
    uncrop_masks,
    uncrop_points,
)
from sam_jax.types import InputError

STEPS = ("_process_crop", "_process_batch")
"""Methods that subclasses of the official class replace."""


class SamAutomaticMaskGenerator:
    """Finds the masks of a whole image by asking about a grid of points and keeping the good answers, once each.

    Args:
        model: Model, from `sam_model_registry`.
        points_per_side: Points along each side of the grid over the whole image; None where `point_grids` gives the
            grids.
        points_per_batch: Number of points that are decoded at once.
        pred_iou_thresh: Masks whose predicted IoU is not above this threshold are dropped; None for what suits the
            weights, 0.88 with official ones.
        stability_score_thresh: Masks whose stability score is below this threshold are dropped; None for what suits the
            weights, 0.95 with official ones.
        stability_score_offset: Distance in logits of the stability score's thresholds from that of a mask.
        box_nms_thresh: Of two masks of a crop whose boxes have a larger IoU, the one of lower predicted IoU is dropped.
        crop_n_layers: Number of layers of crops that are looked at beside the whole image.
        crop_nms_thresh: Of two masks of different crops whose boxes have a larger IoU, the one of the larger crop is
            dropped.
        crop_overlap_ratio: Overlap of neighbouring crops, as a share of the image's shorter side.
        crop_n_points_downscale_factor: Factor by which grids become coarser from one layer of crops to the next.
        point_grids: Points x, y in the unit square for the image and for each layer of crops, instead of even grids.
        min_mask_region_area: Area in pixels below which holes and islands of masks are removed.
        output_mode: Form of a record's `segmentation`: "binary_mask", "uncompressed_rle" or "coco_rle".

    Attributes:
        predictor: Predictor, through which the model is asked if it was replaced.

    Raises:
        InputError: The arguments contradict each other.
    """

    def __init__(
        self,
        model: Sam,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float | None = None,
        stability_score_thresh: float | None = None,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[np.ndarray] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
    ) -> None:
        if (points_per_side is None) == (point_grids is None):
            raise InputError("give points_per_side or point_grids, and not both")
        if output_mode not in ("binary_mask", "uncompressed_rle", "coco_rle"):
            raise InputError(
                f"output_mode is binary_mask, uncompressed_rle or coco_rle, not {output_mode!r}"
            )
        self.point_grids = (
            build_all_layer_point_grids(
                points_per_side, crop_n_layers, crop_n_points_downscale_factor
            )
            if points_per_side is not None
            else list(point_grids or [])
        )
        self.predictor: Any = SamPredictor(model)
        self.points_per_batch = points_per_batch
        encoder = model.image_encoder
        usual = encoder.config.automatic if isinstance(encoder, Part) else AutomaticThresholds()
        self.pred_iou_thresh = usual.pred_iou_thresh if pred_iou_thresh is None else pred_iou_thresh
        self.stability_score_thresh = (
            usual.stability_score_thresh
            if stability_score_thresh is None
            else stability_score_thresh
        )
        self.stability_score_offset = stability_score_offset
        self.box_nms_thresh = box_nms_thresh
        self.crop_n_layers = crop_n_layers
        self.crop_nms_thresh = crop_nms_thresh
        self.crop_overlap_ratio = crop_overlap_ratio
        self.crop_n_points_downscale_factor = crop_n_points_downscale_factor
        self.min_mask_region_area = min_mask_region_area
        self.output_mode = output_mode

    def generate(self, image: np.ndarray) -> list[dict[str, Any]]:
        """All masks of an image, as official records.

        Args:
            image: RGB image of height x width x 3 bytes of 0 to 255.

        Raises:
            InputError: The image is not an RGB image, or too thin for the model.
        """
        found = self._generate_masks(image)
        if self.min_mask_region_area > 0:
            threshold = max(self.box_nms_thresh, self.crop_nms_thresh)
            found = self.postprocess_small_regions(found, self.min_mask_region_area, threshold)
        forms = {"coco_rle": coco_encode_rle, "binary_mask": rle_to_mask}
        form = forms.get(self.output_mode, dict)
        return [
            {
                "segmentation": form(rle),
                "area": area_from_rle(rle),
                "bbox": box_xyxy_to_xywh(found["boxes"][row]).tolist(),
                "predicted_iou": found["iou_preds"][row].item(),
                "point_coords": [found["points"][row].tolist()],
                "stability_score": found["stability_score"][row].item(),
                "crop_box": box_xyxy_to_xywh(found["crop_boxes"][row]).tolist(),
            }
            for row, rle in enumerate(found["rles"])
        ]

    def _generate_masks(self, image: np.ndarray) -> MaskData:
        """What was found in the image and its crops, before small regions are removed, as arrays."""
        if (model := self._as_model()) is not None:
            return self._generate_quickly(model, image)
        size = image.shape[:2]
        crops = generate_crop_boxes(size, self.crop_n_layers, self.crop_overlap_ratio)
        found = MaskData()
        for crop_box, layer in zip(*crops, strict=True):
            found.cat(self._process_crop(image, crop_box, layer, size))
        if len(crops[0]) > 1:
            x0, y0, x1, y1 = as_array(found["crop_boxes"]).T
            kept = box_nms(
                as_array(found["boxes"]), 1 / ((x1 - x0) * (y1 - y0)), self.crop_nms_thresh
            )
            found.filter(kept)
        found.to_numpy()
        return found

    def _as_model(self) -> Model | None:
        """The model for the core's generator, which does the same in less time; None where something was replaced."""
        plain, model = SamAutomaticMaskGenerator, self.predictor.model
        steps = (getattr(type(self), step) is getattr(plain, step) for step in STEPS)
        as_built = all(steps) and type(self.predictor) is SamPredictor and type(model) is Sam
        if not as_built or model.mask_threshold != 0:
            return None
        try:
            return model.as_model()
        except InputError:
            return None

    def _generate_quickly(self, model: Model, image: np.ndarray) -> MaskData:
        generator = inference.SamAutomaticMaskGenerator(
            model,
            points_per_side=None,
            points_per_batch=self.points_per_batch,
            pred_iou_thresh=self.pred_iou_thresh,
            stability_score_thresh=self.stability_score_thresh,
            stability_score_offset=self.stability_score_offset,
            box_nms_thresh=self.box_nms_thresh,
            crop_n_layers=self.crop_n_layers,
            crop_nms_thresh=self.crop_nms_thresh,
            crop_overlap_ratio=self.crop_overlap_ratio,
            point_grids=self.point_grids,
            output_mode="uncompressed_rle",
        )
        records = generator.generate(image)

        def column(key: str, width: int | None, dtype: Any) -> np.ndarray:
            values = np.array([record[key] for record in records], dtype)
            return values.reshape(len(records), *([] if width is None else [width]))

        boxes, crops = column("bbox", 4, np.int64), column("crop_box", 4, np.int64)
        for box in (boxes, crops):
            box[:, 2:] += box[:, :2]
        return MaskData(
            rles=[record["segmentation"] for record in records],
            boxes=boxes,
            iou_preds=column("predicted_iou", None, np.float32),
            points=column("point_coords", 2, np.float64),
            stability_score=column("stability_score", None, np.float32),
            crop_boxes=crops,
        )

    def _process_crop(
        self,
        image: np.ndarray,
        crop_box: list[int],
        crop_layer_idx: int,
        orig_size: tuple[int, ...],
    ) -> MaskData:
        """What was found in a crop, in pixels of the image."""
        x0, y0, x1, y1 = crop_box
        size = (y1 - y0, x1 - x0)
        self.predictor.set_image(image[y0:y1, x0:x1])
        points = self.point_grids[crop_layer_idx] * np.array(size[::-1])
        found = MaskData()
        for (some,) in batch_iterator(self.points_per_batch, points):
            found.cat(self._process_batch(some, size, crop_box, orig_size))
        self.predictor.reset_image()
        kept = box_nms(as_array(found["boxes"]), as_array(found["iou_preds"]), self.box_nms_thresh)
        found.filter(kept)
        found["boxes"] = uncrop_boxes_xyxy(found["boxes"], crop_box)
        found["points"] = uncrop_points(found["points"], crop_box)
        crops = np.tile(np.array(crop_box, np.int64), (len(found["rles"]), 1))
        found["crop_boxes"] = like(crops, found["boxes"])
        return found

    def _process_batch(
        self,
        points: np.ndarray,
        im_size: tuple[int, ...],
        crop_box: list[int],
        orig_size: tuple[int, ...],
    ) -> MaskData:
        """What a batch of points gives, in pixels of the crop."""
        height, width = orig_size
        threshold = self.predictor.model.mask_threshold
        coords = self.predictor.transform.apply_coords(points, im_size).astype(np.float32)
        with without_gradient():
            logits, iou, _ = self.predictor.predict_torch(
                like(coords[:, None]),
                like(np.ones((len(points), 1), np.int32)),
                multimask_output=True,
                return_logits=True,
            )
        asked = like(np.repeat(points, logits.shape[1], axis=0), logits)
        found = MaskData(
            masks=logits.reshape(-1, *logits.shape[2:]), iou_preds=iou.reshape(-1), points=asked
        )
        if self.pred_iou_thresh > 0:
            found.filter(found["iou_preds"] > self.pred_iou_thresh)
        found["stability_score"] = calculate_stability_score(
            found["masks"], threshold, self.stability_score_offset
        )
        if self.stability_score_thresh > 0:
            found.filter(found["stability_score"] >= self.stability_score_thresh)
        found["masks"] = found["masks"] > threshold
        found["boxes"] = batched_mask_to_box(found["masks"])
        found.filter(~is_box_near_crop_edge(found["boxes"], crop_box, [0, 0, width, height]))
        found["rles"] = mask_to_rle_pytorch(uncrop_masks(found["masks"], crop_box, height, width))
        del found["masks"]
        return found

    @staticmethod
    def postprocess_small_regions(
        mask_data: MaskData, min_area: float | int, nms_thresh: float | int
    ) -> MaskData:
        """Removes small holes and islands of masks, and what is double then; untouched masks go first.

        Args:
            mask_data: Masks with `rles` and `boxes`; they are changed in place.
            min_area: Area in pixels below which a region is small.
            nms_thresh: Of two masks whose boxes have a larger IoU, one is dropped.
        """
        if len(mask_data["rles"]) == 0:
            return mask_data
        masks, untouched = [], []
        for rle in mask_data["rles"]:
            mask, had_holes = remove_small_regions(rle_to_mask(rle), min_area, "holes")
            mask, had_islands = remove_small_regions(mask, min_area, "islands")
            masks.append(mask)
            untouched.append(not (had_holes or had_islands))
        boxes = batched_mask_to_box(np.stack(masks))
        kept = box_nms(boxes, np.array(untouched, np.float32), nms_thresh)
        for row in kept:
            if not untouched[row]:
                (mask_data["rles"][row],) = mask_to_rle_pytorch(masks[row][None])
                mask_data["boxes"][row] = like(boxes[row], mask_data["boxes"])
        mask_data.filter(kept)
        return mask_data
