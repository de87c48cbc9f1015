"""Masks for everything in an image (SAM, section 4 "Fully automatic" and appendix B), with the official interface."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypedDict

import jax
import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from sam_jax.data.framing import Framing, frame_image
from sam_jax.inference.arguments import check_model
from sam_jax.inference.crops import (
    MOST_LAYERS,
    Crop,
    make_grids,
    near_crop_edge,
    plan_crops,
)
from sam_jax.inference.mask_table import MaskTable, join_tables, write_runs
from sam_jax.inference.prompt_batches import decode_in_batches
from sam_jax.inference.prompts import make_prompts
from sam_jax.inference.steps import embed_images
from sam_jax.inference.survivors import PackedMask, draw_stable_masks
from sam_jax.inference.tally import Tally
from sam_jax.memory import require_memory
from sam_jax.models import Model
from sam_jax.ops.arguments import check_count, check_image, check_number
from sam_jax.ops.boxes import mask_to_box_xyxy
from sam_jax.ops.nms import box_nms
from sam_jax.ops.regions import remove_small_regions
from sam_jax.ops.resize import fit_size
from sam_jax.ops.rle import Rle, compress_counts, decode_rle, encode_rle
from sam_jax.types import ImageEmbedding, InputError

SA1B: dict[str, Any] = {
    "points_per_side": 32,
    "crop_n_layers": 2,
    "crop_n_points_downscale_factor": 2,
    "min_mask_region_area": 100,
    "max_area_share": 0.95,
}
"""Arguments of `SamAutomaticMaskGenerator` as the masks of SA-1B were made with (appendix B), but for its thresholds,
0.88 and 0.95, which go with the weights."""


MOST_IMAGES = 1024
"""Images that are encoded together at most: a batch is filled up, whatever is there."""

HELD_BYTES = 1 << 28
"""Of packed masks that wait for the suppression of doubles; beyond, they are written as run lengths before it."""


class Record(TypedDict):
    """One mask, as the official generator describes it.

    Attributes:
        segmentation: The mask, or its run-length encoding.
        area: Area of the mask in pixels.
        bbox: Box of the mask as x, y, width, height.
        predicted_iou: The model's own estimate of the mask's IoU.
        point_coords: The point x, y that the model was prompted with, in a list.
        stability_score: IoU of the mask at two thresholds.
        crop_box: The crop that the mask was found in, as x, y, width, height.
    """

    segmentation: Bool[np.ndarray, "h w"] | Rle
    area: int
    bbox: list[int]
    predicted_iou: float
    point_coords: list[list[float]]
    stability_score: float
    crop_box: list[int]


class _View(NamedTuple):
    """A crop of an image as the encoder sees it.

    Attributes:
        image: Number of the image that the view is a crop of.
        pixels: Pixels of the whole image.
        crop: Where the crop lies.
        framed: The crop in the model's padded input.
        framing: Where the crop lies in the padded input.
    """

    image: int
    pixels: UInt8[np.ndarray, "h w 3"]
    crop: Crop
    framed: UInt8[np.ndarray, "frame_h frame_w 3"]
    framing: Framing


class SamAutomaticMaskGenerator:
    """Finds the masks of a whole image by asking about a grid of points and keeping the good answers, once each.

    Arguments and results are those of the official `segment_anything.SamAutomaticMaskGenerator`.

    Args:
        model: Model with its weights.
        points_per_side: Points along each side of the grid over the whole image; None where `point_grids` gives the
            grids.
        points_per_batch: Number of points that are decoded at once; more need more memory.
        pred_iou_thresh: Masks whose predicted IoU is not above this threshold are dropped. The default goes with the
            model's weights (`SamConfig.automatic`): the official 0.88, and less for the small model of this package.
        stability_score_thresh: Masks whose stability score, their IoU at two thresholds of the logits, is below this
            one are dropped. The default goes with the weights, too: the official 0.95, or less.
        stability_score_offset: Distance in logits of those two thresholds from 0.
        box_nms_thresh: Of two masks of a crop whose boxes have a larger IoU, the one of lower predicted IoU is dropped.
        crop_n_layers: Number of layers of crops that are looked at beside the whole image.
        crop_nms_thresh: Of two masks of different crops whose boxes have a larger IoU, the one of the larger crop is
            dropped.
        crop_overlap_ratio: Overlap of neighbouring crops, as a share of the image's shorter side.
        crop_n_points_downscale_factor: Factor by which the grid of points becomes coarser from one layer of crops to
            the next.
        point_grids: Points x, y in the unit square for the image and for each layer of crops, instead of even grids.
        min_mask_region_area: Area in pixels below which holes and islands of masks are removed.
        output_mode: Form of a record's `segmentation`: "binary_mask", "uncompressed_rle" or "coco_rle".
        max_area_share: Masks that cover this share of the image or more are dropped; above 1 for none. (Not an official
            argument, like those that follow.)
        multimask_output: Whether each point gives three masks, or the one that is meant for prompts of several points.
        images_per_batch: Number of images, or crops of them, that are encoded together; accelerators want several.

    Attributes:
        tally: Counts of the masks that the filters have dropped so far.

    Raises:
        InputError: The arguments contradict each other.
    """

    def __init__(
        self,
        model: Model,
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
        point_grids: Sequence[Shaped[np.ndarray, "_n 2"]] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
        max_area_share: float = 2.0,
        multimask_output: bool = True,
        images_per_batch: int = 1,
    ) -> None:
        check_model(model)
        usual = model.config.automatic
        if pred_iou_thresh is None:
            pred_iou_thresh = usual.pred_iou_thresh
        if stability_score_thresh is None:
            stability_score_thresh = usual.stability_score_thresh
        check_count("points_per_batch", points_per_batch, least=1)
        check_count("images_per_batch", images_per_batch, least=1)
        check_number("images_per_batch", images_per_batch, most=MOST_IMAGES)
        check_count("crop_n_layers", crop_n_layers)
        check_number("crop_n_layers", crop_n_layers, most=MOST_LAYERS)
        check_number("crop_n_points_downscale_factor", crop_n_points_downscale_factor, least=1)
        check_number("min_mask_region_area", min_mask_region_area, least=0)
        check_number("crop_overlap_ratio", crop_overlap_ratio, least=0, most=1)
        check_number("pred_iou_thresh", pred_iou_thresh)
        check_number("stability_score_thresh", stability_score_thresh)
        check_number("stability_score_offset", stability_score_offset, least=0)
        check_number("box_nms_thresh", box_nms_thresh)
        check_number("crop_nms_thresh", crop_nms_thresh)
        check_number("max_area_share", max_area_share)
        if output_mode not in ("binary_mask", "uncompressed_rle", "coco_rle"):
            raise InputError(
                f"output_mode is binary_mask, uncompressed_rle or coco_rle, not {output_mode!r}"
            )
        self.point_grids = make_grids(
            points_per_side, point_grids, crop_n_layers, crop_n_points_downscale_factor
        )
        pixels = math.prod(model.config.image_encoder.image_size)
        require_memory(images_per_batch * 12 * pixels, f"images_per_batch {images_per_batch}")
        self.model = model
        # A batch is filled up to its size, so that none needs to be larger than a grid.
        self.points_per_batch = min(points_per_batch, max(map(len, self.point_grids)))
        self.pred_iou_thresh = pred_iou_thresh
        self.stability_score_thresh = stability_score_thresh
        self.stability_score_offset = stability_score_offset
        self.box_nms_thresh = box_nms_thresh
        self.crop_n_layers = crop_n_layers
        self.crop_nms_thresh = crop_nms_thresh
        self.crop_overlap_ratio = crop_overlap_ratio
        self.min_mask_region_area = min_mask_region_area
        self.output_mode = output_mode
        self.max_area_share = max_area_share
        self.multimask_output = multimask_output
        self.images_per_batch = images_per_batch
        self.tally = Tally()

    def generate(self, image: Any) -> list[Record]:
        """All masks of an image.

        Args:
            image: RGB image of height x width x 3 bytes of 0 to 255: an array, or what becomes one, as Pillow's images.

        Raises:
            InputError: The image is not an RGB image, or too thin for the model.
        """
        return next(self.generate_many([image]))

    def generate_many(self, images: Iterable[Any]) -> Iterator[list[Record]]:
        """All masks of image after image, while the next ones are being encoded where the device can.

        Args:
            images: Images as for `generate`; each is taken from the iterable when it is needed.

        Raises:
            InputError: One of the images is not an RGB image, or too thin for the model.
        """
        views = self._encode(self._views(images))
        for _, of_image in itertools.groupby(views, lambda item: item[0].image):
            parts = [(view, self._search(view, embedding)) for view, embedding in of_image]
            yield self._finish(parts[0][0].pixels.shape[:2], [found for _, found in parts])

    def plan(self, image: Any) -> list[Crop]:
        """Where an image is looked at: the whole of it, and crops.

        Raises:
            InputError: The image is not an RGB image, or too thin for the model.
        """
        image = check_image(image)
        crops = [
            crop
            for crop in plan_crops(image.shape[:2], self.crop_n_layers, self.crop_overlap_ratio)
            if crop.box[0] < crop.box[2]
            and crop.box[1] < crop.box[3]  # of few pixels some get none
        ]
        for x0, y0, x1, y1 in (crop.box for crop in crops):
            fit_size(y1 - y0, x1 - x0, self.model.config.image_encoder.image_size)
        return crops

    def _views(self, images: Iterable[Any]) -> Iterator[_View]:
        for number, given in enumerate(images):
            image = check_image(given)
            for crop in self.plan(image):
                x0, y0, x1, y1 = crop.box
                framed, framing = frame_image(
                    image[y0:y1, x0:x1], self.model.config.image_encoder.image_size
                )
                yield _View(number, image, crop, framed, framing)

    def _encode(self, views: Iterator[_View]) -> Iterator[tuple[_View, ImageEmbedding]]:
        """Views with their embeddings; the device is given a batch before the one before it is used."""
        ready: list[tuple[_View, ImageEmbedding]] = []
        while batch := list(itertools.islice(views, self.images_per_batch)):
            filled = batch + [batch[-1]] * (self.images_per_batch - len(batch))
            framed = np.stack([view.framed for view in filled])
            fitted = np.array([view.framing.fitted for view in filled], np.int32)
            embeddings = embed_images(self.model, framed, fitted)
            yield from ready
            ready = [
                (view, jax.tree.map(lambda leaf, i=index: leaf[i : i + 1], embeddings))
                for index, view in enumerate(batch)
            ]
        yield from ready

    def _finish(self, size: tuple[int, int], parts: Sequence[MaskTable[Rle]]) -> list[Record]:
        """From what was found in the crops of an image to its records."""
        found = join_tables(parts)
        if len(parts) > 1:
            areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (c.box for c in found.crops)]
            smaller_first = 1 / np.array(areas, np.float64)
            found = found.take(box_nms(found.boxes, smaller_first, self.crop_nms_thresh))
        if self.max_area_share <= 1:
            areas = np.array([sum(rle["counts"][1::2]) for rle in found.masks])  # pyright: ignore[reportArgumentType, reportCallIssue]
            small = np.flatnonzero(areas < self.max_area_share * size[0] * size[1])
            self.tally.add(max_area_share=len(areas) - len(small))
            found = found.take(small)
        if self.min_mask_region_area > 0:
            found = self._clean(found)
        return [self._record(found, index) for index in range(len(found.masks))]

    def _search(self, view: _View, embedding: ImageEmbedding) -> MaskTable[Rle]:
        """The masks of a view."""
        crop, framing, size = view.crop, view.framing, view.pixels.shape[:2]
        x0, y0, x1, y1 = crop.box
        points = self.point_grids[crop.layer] * np.array([x1 - x0, y1 - y0])
        prompts = make_prompts(
            framing,
            point_coords=points[:, None],
            point_labels=np.ones((len(points), 1), np.int32),
        )
        parts: Sequence[MaskTable[PackedMask | Rle]] = []
        waiting = 0
        for batch in decode_in_batches(
            self.model,
            embedding,
            prompts,
            (min(self.points_per_batch, len(points)),),
            multimask_output=bool(self.multimask_output),
        ):
            expected = np.asarray(batch.iou)
            asked = np.repeat(points[batch.prompts], expected.shape[1], axis=0)
            logits = batch.logits.reshape(-1, *batch.logits.shape[2:])
            good = self._keep_good(logits, expected.ravel(), asked, framing, crop, size)
            waiting += sum(mask.bits.nbytes for mask in good.masks)
            parts = [*parts, good]
            if waiting > HELD_BYTES:
                parts, waiting = [write_runs(part, size) for part in parts], 0
        found = join_tables(parts)
        # Most are doubles, so they go before the rest is written as run lengths.
        return write_runs(found.take(box_nms(found.boxes, found.iou, self.box_nms_thresh)), size)

    def _keep_good(
        self,
        logits: jax.Array,
        iou: Float[np.ndarray, " n"],
        points: Float[np.ndarray, "n 2"],
        framing: Framing,
        crop: Crop,
        image_size: tuple[int, int],
    ) -> MaskTable[PackedMask]:
        """Of a batch, what the model trusts, what is stable, and what the crop hasn't cut."""
        chosen = np.arange(len(iou))
        if self.pred_iou_thresh > 0:
            chosen = np.flatnonzero(iou > self.pred_iou_thresh)
        drawn = draw_stable_masks(
            logits,
            chosen,
            framing,
            offset=self.stability_score_offset,
            threshold=self.stability_score_thresh,
        )
        x0, y0, _, _ = crop.box
        boxes = drawn.boxes + np.array([x0, y0, x0, y0])
        whole = np.flatnonzero(~near_crop_edge(boxes, crop, image_size))
        masks = [drawn.masks[i] for i in whole]
        self.tally.add(
            len(iou),
            float(iou.max(initial=-np.inf)),
            pred_iou_thresh=len(iou) - len(chosen),
            stability_score_thresh=len(chosen) - len(drawn.masks),
            crop_overlap_ratio=len(drawn.masks) - len(masks),
        )
        return MaskTable(
            [mask._replace(corner=(mask.corner[0] + x0, mask.corner[1] + y0)) for mask in masks],
            boxes[whole],
            iou[drawn.indices[whole]],
            drawn.stability[whole],
            points[drawn.indices[whole]] + [x0, y0],
            [crop] * len(whole),
        )

    def _clean(self, found: MaskTable[Rle]) -> MaskTable[Rle]:
        """Without small holes and islands, and without what is the same then; untouched masks go first."""
        rles, boxes, untouched = [], [], []
        for rle, box in zip(found.masks, found.boxes, strict=True):
            mask, had_holes = remove_small_regions(
                decode_rle(rle), self.min_mask_region_area, "holes"
            )
            mask, had_islands = remove_small_regions(mask, self.min_mask_region_area, "islands")
            is_changed = had_holes or had_islands
            rles.append(encode_rle(mask) if is_changed else rle)
            boxes.append(mask_to_box_xyxy(mask) if is_changed else box)
            untouched.append(not is_changed)
        cleaned = replace(found, masks=rles, boxes=np.array(boxes, np.int64).reshape(-1, 4))
        threshold = max(self.box_nms_thresh, self.crop_nms_thresh)
        return cleaned.take(box_nms(cleaned.boxes, np.array(untouched, np.float32), threshold))

    def _record(self, found: MaskTable[Rle], index: int) -> Record:
        rle = found.masks[index]
        counts = rle["counts"]
        assert isinstance(counts, list)
        segmentation: Bool[np.ndarray, "h w"] | Rle = rle
        if self.output_mode == "binary_mask":
            segmentation = decode_rle(rle)
        elif self.output_mode == "coco_rle":
            segmentation = Rle(size=rle["size"], counts=compress_counts(counts))
        return Record(
            segmentation=segmentation,
            area=sum(counts[1::2]),
            bbox=_as_xywh(found.boxes[index].tolist()),
            predicted_iou=float(found.iou[index]),
            point_coords=[found.points[index].tolist()],
            stability_score=float(found.stability[index]),
            crop_box=_as_xywh(list(found.crops[index].box)),
        )


def _as_xywh(box: list[int]) -> list[int]:
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0]
