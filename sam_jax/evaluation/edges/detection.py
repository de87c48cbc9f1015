"""Edges from masks of a grid of points (SAM, section 7.2 and appendix D.2), and two classical detectors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage
from scipy.special import expit

from sam_jax.data.framing import Framing, frame_image
from sam_jax.inference.crops import make_point_grid
from sam_jax.inference.prompt_batches import decode_in_batches
from sam_jax.inference.prompts import make_prompts
from sam_jax.inference.steps import embed_images
from sam_jax.inference.survivors import draw_stable_masks
from sam_jax.inference.upscaling import plan_upscaling, upscale_logits
from sam_jax.models import Model
from sam_jax.ops.boxes import mask_to_box_xyxy
from sam_jax.ops.luma import measure_luma
from sam_jax.ops.nms import box_nms
from sam_jax.types import InputError

UPSCALED_AT_ONCE = 16
"""Masks that are brought to the image's size together."""

STEP_RESPONSE = 4.0
"""Response of a Sobel filter to a step of 1; gradients are divided by it."""

TIE = 1e-5
"""Relative difference below which strengths count as equal: the two sides of one edge are rounded differently."""

CANNY_SIGMA = 2.0
"""Standard deviation in pixels of the Gaussian that Canny's detector smooths with."""


@dataclass(frozen=True, kw_only=True)
class EdgeConfig:
    """How masks are found whose borders are the edges.

    Attributes:
        points_per_side: Points along each side of the grid; each point gives three masks.
        box_nms_thresh: IoU of two masks' boxes, 0 to 1, above which the mask of lower predicted IoU is dropped.
        points_per_batch: Points that are decoded together; more need more memory.

    Raises:
        InputError: A number is out of range.
    """

    points_per_side: int = 16
    box_nms_thresh: float = 0.7
    points_per_batch: int = 64

    def __post_init__(self) -> None:
        if self.points_per_side < 1 or self.points_per_batch < 1:
            raise InputError("points_per_side and points_per_batch are at least 1")
        if not 0 <= self.box_nms_thresh <= 1:
            raise InputError(f"box_nms_thresh is from 0 to 1, not {self.box_nms_thresh}")


def detect_edges(
    model: Model, image: UInt8[np.ndarray, "h w 3"], config: EdgeConfig | None = None
) -> Float[np.ndarray, "h w"]:
    """Thin edges of an image, of strength 0 to 1.

    Args:
        model: Model with its weights.
        image: RGB image.
        config: How masks are found; None for the paper's configuration.

    Raises:
        InputError: The image is too thin for the model.
    """
    probabilities = _find_masks(model, image, config or EdgeConfig())
    return trace_masks(probabilities, (image.shape[0], image.shape[1]))


def trace_masks(
    probabilities: Iterable[Float[np.ndarray, "h w"]], image_size: tuple[int, int]
) -> Float[np.ndarray, "h w"]:
    """Edges along the borders of masks; holds one mask at a time.

    Each mask (where its probability is above one half) has an edge on its outermost pixels, those with a neighbour
    outside of the mask to the left, right, above or below. The edge's strength is the magnitude of the probability's
    Sobel gradient. In each pixel the strongest edge of all masks counts; strengths are scaled linearly to 0 to 1 and
    thinned across the gradient of the mask that counted. There is no edge along the frame of the image.

    Args:
        probabilities: Probabilities of each mask, at the image's size.
        image_size: Height and width of the image.

    Returns:
        Strengths from 0 to 1; all zero if no mask has a border.
    """
    strength, down, across = np.zeros((3, *image_size), np.float32)
    for probability in probabilities:
        rows, columns = _around(probability > 0.5)
        part = np.asarray(probability[rows, columns], np.float32)
        is_border = _outermost(part > 0.5)
        gradient = _sobel(part)
        new = np.where(is_border, np.hypot(*gradient), 0)
        is_stronger = new > strength[rows, columns]
        for whole, some in zip((strength, down, across), (new, *gradient), strict=True):
            whole[rows, columns][is_stronger] = some[is_stronger]
    lowest, highest = strength.min(), strength.max()
    if highest == lowest:
        return np.zeros(image_size, np.float32)
    return thin_across((strength - lowest) / (highest - lowest), down, across)


def thin_across(
    strength: Float[np.ndarray, "h w"],
    down: Float[np.ndarray, "h w"],
    across: Float[np.ndarray, "h w"],
) -> Float[np.ndarray, "h w"]:
    """Non-maximum suppression of edges: strengths that are higher than on both sides stay, others become 0.

    A pixel is compared with the two places one pixel away along the gradient, interpolated bilinearly (after Canny, "A
    computational approach to edge detection", TPAMI 8(6), 1986). Of two equal pixels side by side one stays.

    Args:
        strength: Strengths of edges.
        down: Component of the gradient from row to row.
        across: Component of the gradient from column to column.
    """
    rows, columns = np.nonzero(strength)
    here = strength[rows, columns]
    line = np.stack([down[rows, columns], across[rows, columns]]).astype(np.float64)
    # Two masks on either side of an edge have opposite gradients: without a common direction both sides of a tie go
    # or stay.
    is_backward = (line[1] < 0) | ((line[1] == 0) & (line[0] < 0))
    line = np.where(is_backward, -line, line)
    length = np.hypot(*line)
    line = line / np.where(length == 0, 1, length)
    places = np.stack([rows, columns])
    ahead, behind = (
        ndimage.map_coordinates(strength, places + sign * line, order=1, mode="constant")
        for sign in (1, -1)
    )
    stays = (ahead <= here * (1 + TIE)) & (behind < here * (1 - TIE))
    thin = np.zeros_like(strength)
    thin[rows[stays], columns[stays]] = here[stays]
    return thin


def sobel_edges(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Magnitude of the Sobel gradient of the brightness, thinned; 1 is a step from black to white.

    Args:
        image: RGB image.
    """
    gradient = _sobel(_brightness(image))
    return thin_across(np.minimum(np.hypot(*gradient), 1), *gradient)


def canny_edges(
    image: UInt8[np.ndarray, "h w 3"], sigma: float = CANNY_SIGMA
) -> Float[np.ndarray, "h w"]:
    """Canny's edges before hysteresis, so that a benchmark can choose the threshold.

    The strength is the magnitude of the gradient of the brightness, smoothed by a Gaussian and thinned; 1 is a step
    from black to white.

    Args:
        image: RGB image.
        sigma: Standard deviation of the Gaussian in pixels.
    """
    brightness = _brightness(image)
    of_a_step = 1 / (np.sqrt(2 * np.pi) * sigma)
    down, across = (
        ndimage.gaussian_filter(brightness, sigma, order=order, mode="nearest") / of_a_step  # pyright: ignore[reportArgumentType]
        for order in ((1, 0), (0, 1))
    )
    return thin_across(np.minimum(np.hypot(down, across), 1), down, across)


def _find_masks(
    model: Model, image: UInt8[np.ndarray, "h w 3"], config: EdgeConfig
) -> Iterator[Float[np.ndarray, "h w"]]:
    """Probabilities of the masks of a grid of points, after non-maximum suppression of their boxes."""
    framed, framing = frame_image(image, model.config.image_encoder.image_size)
    features = embed_images(model, framed[None], np.array([framing.fitted], np.int32))
    points = make_point_grid(config.points_per_side) * np.array(framing.original[::-1])
    prompts = make_prompts(
        framing,
        point_coords=points[:, None],
        point_labels=np.ones((len(points), 1), np.int32),
    )
    sizes = (config.points_per_batch,)
    all_logits, all_ious, all_boxes = [], [], []
    for batch in decode_in_batches(model, features, prompts, sizes, multimask_output=True):
        logits = batch.logits.reshape(-1, *batch.logits.shape[2:])
        ious = np.asarray(batch.iou).ravel()
        every = np.arange(len(ious))
        drawn = draw_stable_masks(logits, every, framing, offset=1.0, threshold=0.0)
        all_logits.append(np.asarray(logits)[: len(ious)])
        all_ious.append(ious)
        all_boxes.append(drawn.boxes)
    kept = box_nms(np.concatenate(all_boxes), np.concatenate(all_ious), config.box_nms_thresh)
    yield from _upscale(np.concatenate(all_logits), kept, framing)


def _upscale(
    logits: Float[np.ndarray, "k h_low w_low"], chosen: Int[np.ndarray, " n"], framing: Framing
) -> Iterator[Float[np.ndarray, "h w"]]:
    plan = plan_upscaling(framing)
    height, width = framing.original
    for start in range(0, len(chosen), UPSCALED_AT_ONCE):
        some = chosen[start : start + UPSCALED_AT_ONCE]
        filled = logits[np.resize(some, UPSCALED_AT_ONCE)]
        full = np.asarray(upscale_logits(filled[:, None], plan))[: len(some), 0, :height, :width]
        for mask in full:
            yield expit(mask)


def _around(mask: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """The rows and columns of the mask's box, extended by a pixel on each side as far as the image goes."""
    x0, y0, x1, y1 = mask_to_box_xyxy(mask).tolist()
    return slice(max(y0 - 1, 0), y1 + 2), slice(max(x0 - 1, 0), x1 + 2)


def _outermost(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def _sobel(
    values: Float[np.ndarray, "h w"],
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """The gradient from row to row and from column to column."""
    down, across = (
        ndimage.sobel(values, axis=axis, mode="nearest") / STEP_RESPONSE for axis in (0, 1)
    )
    return down, across


def _brightness(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Luma of ITU-R BT.601, from 0 to 1."""
    return (measure_luma(image) / 255).astype(np.float32)
