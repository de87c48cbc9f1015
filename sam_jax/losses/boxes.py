"""Losses of boxes, and what a detector that finds objects by their middles is to learn.

Boxes are x0, y0, x1, y1, in pixels or in cells.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sam_jax.types import AnyArray

CENTRAL_SHARE = 0.54
"""Share of a box's sides in whose middle a cell counts as near the centre (TTFNet, section 5.1)."""
_NO_AREA = 1e-9


class CentreTargets(NamedTuple):
    """What a detector is to say of every cell of an image.

    Attributes:
        heat: 1 in the cell with the centre of an object, less in the cells around, 0 elsewhere.
        boxes: Box of the object that a cell is to give.
        weights: Weight of the cell's box; the weights of an object's cells add up to 1 where it hides no other.
    """

    heat: Float[Array, "rows columns"]
    boxes: Float[Array, "rows columns 4"]
    weights: Float[Array, "rows columns"]


def centre_focal(
    logits: Float[AnyArray, "*cells"],
    heat: Float[AnyArray, "*cells"],
    *,
    alpha: float = 2.0,
    beta: float = 4.0,
) -> Float[Array, "*cells"]:
    """Focal loss of centres: -(1-p)^a log p where the heat is 1, elsewhere -(1-heat)^b p^a log(1-p); p = sigmoid(z).

    Cells near a centre cost less when they are taken for one.

    Source: [Law and Deng 2018](https://arxiv.org/abs/1808.01244), CornerNet, eq. 1, as in
    [Objects as Points](https://arxiv.org/abs/1904.07850), eq. 1, unreduced.

    Args:
        logits: Logits z of the scores.
        heat: Targets, from `centre_targets`.
        alpha: Focusing parameter a.
        beta: Exponent b of the relief near a centre.

    >>> logits = jnp.log(jnp.array([4.0, 4.0, 0.25]))  # p = 0.8, 0.8, 0.2
    >>> [f"{loss:.4f}" for loss in centre_focal(logits, jnp.array([1.0, 0.5, 0.0]))]
    ['0.0089', '0.0644', '0.0089']
    """
    z, y = jnp.asarray(logits, jnp.float32), jnp.asarray(heat, jnp.float32)
    p = jax.nn.sigmoid(z)
    at_centre = (1 - p) ** alpha * jax.nn.softplus(-z)
    elsewhere = (1 - y) ** beta * p**alpha * jax.nn.softplus(z)
    return jnp.where(y == 1, at_centre, elsewhere)


def giou_loss(
    boxes: Float[AnyArray, "*shape 4"], truth: Float[AnyArray, "*shape 4"]
) -> Float[Array, "*shape"]:
    """1 - GIoU of each box and its truth: 1 - IoU + the share of the box around both that neither covers.

    Source: [Rezatofighi et al. 2019](https://arxiv.org/abs/1902.09630), Generalized Intersection over Union,
    algorithm 1, as in torchvision's `generalized_box_iou_loss`.

    Args:
        boxes: Boxes x0, y0, x1, y1.
        truth: True boxes.

    >>> print(f"{giou_loss(jnp.array([0.0, 0, 4, 2]), jnp.array([2.0, 0, 6, 2])):.4f}")  # 1 - 4/12 + 0
    0.6667
    >>> print(f"{giou_loss(jnp.array([0.0, 0, 1, 1]), jnp.array([3.0, 0, 4, 1])):.4f}")  # 1 - 0 + 2/4
    1.5000
    """
    ours, true = jnp.asarray(boxes, jnp.float32), jnp.asarray(truth, jnp.float32)
    both = _measure_area(
        jnp.maximum(ours[..., :2], true[..., :2]), jnp.minimum(ours[..., 2:], true[..., 2:])
    )
    union = sum(_measure_area(box[..., :2], box[..., 2:]) for box in (ours, true)) - both
    around = _measure_area(
        jnp.minimum(ours[..., :2], true[..., :2]), jnp.maximum(ours[..., 2:], true[..., 2:])
    )
    return 1 - both / (union + _NO_AREA) + (around - union) / (around + _NO_AREA)


def box_around(mask: Bool[AnyArray, "h w"]) -> Float[Array, "4"]:
    """The smallest box x0, y0, x1, y1 that holds all cells of a mask, with their outer edges; an empty mask has zeros.

    >>> print(box_around(jnp.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]], bool)))
    [1. 1. 3. 3.]
    """
    region = jnp.asarray(mask)
    sides = [region.any(axis=0), region.any(axis=1)]
    low = [jnp.argmax(side) for side in sides]
    high = [side.shape[0] - jnp.argmax(side[::-1]) for side in sides]
    return jnp.where(region.any(), jnp.stack([*low, *high]), 0).astype(jnp.float32)


def centre_targets(
    boxes: Float[AnyArray, "n 4"],
    valid: Bool[AnyArray, " n"],
    *,
    size: tuple[int, int],
    cell: int,
) -> CentreTargets:
    """Heat, boxes and weights for the objects of an image.

    Around each centre is a Gaussian with the proportions of the box. Where two meet, the heat is the higher one, and
    the box that of the smaller object.

    Source: [TTFNet](https://arxiv.org/abs/1909.00700), sections 4.1 and 4.2, with weights that leave out the area's
    logarithm: small objects count as much as large ones.

    Args:
        boxes: Boxes of the objects in pixels.
        valid: Which objects count; the others only fill up the number.
        size: Rows and columns of cells.
        cell: Pixels along the side of a cell.

    >>> box = jnp.array([[0.0, 0, 24, 8]])  # as wide as three cells
    >>> targets = centre_targets(box, jnp.array([True]), size=(1, 3), cell=8)
    >>> print(targets.heat.tolist(), targets.boxes[0, 1], targets.weights.tolist())
    [[0.0, 1.0, 0.0]] [ 0.  0. 24.  8.] [[0.0, 1.0, 0.0]]
    """
    known, counts = jnp.asarray(boxes, jnp.float32), jnp.asarray(valid)
    places = tuple(jnp.arange(side, dtype=jnp.float32) for side in size[::-1])  # x, y

    def add(drawn: CentreTargets, one: tuple[Array, Array]) -> tuple[CentreTargets, None]:
        box, is_valid = one
        bells = []
        for axis, along in enumerate(places):
            centre = jnp.floor((box[axis] + box[axis + 2]) / (2 * cell))
            centre = jnp.clip(centre, 0, along.shape[0] - 1)
            radius = jnp.floor(CENTRAL_SHARE * (box[axis + 2] - box[axis]) / (2 * cell))
            spread = (2 * radius + 1) / 6
            bell = jnp.exp(-0.5 * jnp.square((along - centre) / spread))
            bells.append(jnp.where(jnp.abs(along - centre) <= radius, bell, 0.0))
        gaussian = bells[1][:, None] * bells[0][None, :] * is_valid
        is_near = gaussian > 0
        total = jnp.maximum(gaussian.sum(), _NO_AREA)
        return CentreTargets(
            jnp.maximum(drawn.heat, gaussian),
            jnp.where(is_near[..., None], box[None, None], drawn.boxes),
            jnp.where(is_near, gaussian / total, drawn.weights),
        ), None

    empty = CentreTargets(jnp.zeros(size), jnp.zeros((*size, 4)), jnp.zeros(size))
    areas = _measure_area(known[:, :2], known[:, 2:])
    order = jnp.argsort(-areas)  # the smallest is drawn last, over the others
    return jax.lax.scan(add, empty, (known[order], counts[order].astype(jnp.float32)))[0]


def _measure_area(low: Float[Array, "*shape 2"], high: Float[Array, "*shape 2"]) -> Array:
    return jnp.maximum(high - low, 0.0).prod(axis=-1)
