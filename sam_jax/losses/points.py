"""Losses at a few points of a mask instead of all its pixels.

Points are x, y in [0, 1]² over a mask of any size: (0, 0) is the outer corner of the first pixel, (1, 1) that of the
last. So logits and truth may differ in size.

Sources: PointRend, [Kirillov et al. 2020](https://arxiv.org/abs/1912.08193);
Mask2Former, [Cheng et al. 2022](https://arxiv.org/abs/2112.01527).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, UInt32

from sam_jax.losses.binary import bce
from sam_jax.losses.overlap import soft_dice
from sam_jax.types import AnyArray, InputError


class PointLosses(NamedTuple):
    """Losses of one mask at its points.

    Attributes:
        bce: Binary cross-entropy, the mean over points.
        dice: Dice loss over the points, with ε = 1.
    """

    bce: Float[Array, ""]
    dice: Float[Array, ""]


def point_losses(
    logits: Float[AnyArray, "h w"],
    truth: Bool[AnyArray, "h_truth w_truth"] | Float[AnyArray, "h_truth w_truth"],
    points_unit: Float[AnyArray, "p 2"],
) -> PointLosses:
    """Cross-entropy and dice of one mask, logits and truth sampled bilinearly at the same points.

    Mask2Former sums both over masks and divides by the number of masks in the whole batch of all devices.

    Source: [Cheng et al. 2022](https://arxiv.org/abs/2112.01527), Mask2Former, section 3.3 and
    `SetCriterion.loss_masks`.

    Args:
        logits: Logits of one mask.
        truth: Truth of the same mask, in [0, 1].
        points_unit: Points, x and y in [0, 1]; see `sample_uncertain_points`.

    >>> logits, truth = jnp.zeros((3, 4)), jnp.zeros((6, 8), bool)
    >>> points = sample_uncertain_points(jax.random.key(0), logits, 15)
    >>> losses = point_losses(logits, truth, points)
    >>> print(f"{losses.bce:.4f} {losses.dice:.4f}")  # log 2, and 1 - 1 / (15/2 + 1)
    0.6931 0.8824
    """
    z = sample_bilinear(logits, points_unit)
    y = sample_bilinear(jnp.asarray(truth, jnp.float32), points_unit)
    return PointLosses(bce=bce(z, y).mean(), dice=soft_dice(z, y, eps=1.0))


def sample_uncertain_points(
    key: Key[Array, ""] | UInt32[Array, "2"],
    logits: Float[AnyArray, "h w"],
    num_points: int,
    *,
    oversampling: float = 3.0,
    importance: float = 0.75,
) -> Float[Array, "{num_points} 2"]:
    """Draw points of a mask, most of them where it is least certain; x, y in [0, 1).

    Of ⌊oversampling · P⌋ uniform candidates, the ⌊importance · P⌋ with the highest uncertainty -|logit| are taken; the
    other points are uniform. The choice has no gradient. The outermost half pixel counts as uncertain, as in the
    original: logits fade to zero there.

    Source: [Kirillov et al. 2020](https://arxiv.org/abs/1912.08193), PointRend, section 3.1, and its
    `get_uncertain_point_coords_with_randomness`.

    Args:
        key: Key of the random numbers; it is split in two, for the candidates and for the other points.
        logits: Logits of one mask.
        num_points: Number of points P, at least 1.
        oversampling: Number of candidates for each point, at least 1.
        importance: Share of points that are chosen for their uncertainty, in [0, 1].

    Raises:
        InputError: `num_points`, `oversampling` or `importance` is out of its range.

    >>> logits = jnp.linspace(-4.0, 4.0, 90)[None].repeat(50, axis=0)  # uncertain along x = 1/2
    >>> points = sample_uncertain_points(jax.random.key(0), logits, 8, importance=0.5)
    >>> bool((jnp.abs(points[:4, 0] - 0.5) < 0.25).all())
    True
    """
    if num_points < 1:
        raise InputError(f"num_points is at least 1, not {num_points}")
    if oversampling < 1:
        raise InputError(f"oversampling is at least 1 candidate a point, not {oversampling}")
    if not 0 <= importance <= 1:
        raise InputError(f"importance is a share between 0 and 1, not {importance}")
    uncertain = int(importance * num_points)
    key_candidates, key_others = jax.random.split(key)
    candidates = jax.random.uniform(key_candidates, (int(oversampling * num_points), 2))
    certainty = jnp.abs(sample_bilinear(logits, candidates))
    _, chosen = jax.lax.top_k(-certainty, uncertain)
    others = jax.random.uniform(key_others, (num_points - uncertain, 2))
    return jnp.concatenate([candidates[chosen], others])


def sample_bilinear(
    values: Float[AnyArray, "h w"], points_unit: Float[AnyArray, "p 2"]
) -> Float[Array, " p"]:
    """Values at points, bilinear between the centres of four pixels, zero beyond the edges.

    Equal to `torch.nn.functional.grid_sample(values, 2 * points_unit - 1)` with align_corners=False and zero padding.

    Args:
        values: Values at the centres of pixels.
        points_unit: Points, x and y; those in [0, 1] lie on the pixels.

    >>> values = jnp.array([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]])
    >>> sample_bilinear(values, jnp.array([[0.5, 0.25], [0.5, 0.5], [0.0, 0.25]])).tolist()
    [2.0, 4.0, 0.5]
    """
    values, points = jnp.asarray(values, jnp.float32), jnp.asarray(points_unit, jnp.float32)
    h, w = values.shape
    x, y = points[:, 0] * w - 0.5, points[:, 1] * h - 0.5
    left, top = jnp.floor(x), jnp.floor(y)

    def corner(column: Float[Array, " p"], row: Float[Array, " p"]) -> Float[Array, " p"]:
        inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
        weight = (1 - jnp.abs(x - column)) * (1 - jnp.abs(y - row))
        column, row = column.clip(0, w - 1).astype(int), row.clip(0, h - 1).astype(int)
        return jnp.where(inside, weight * values[row, column], 0)

    return (
        corner(left, top)
        + corner(left + 1, top)
        + corner(left, top + 1)
        + corner(left + 1, top + 1)
    )
