"""How good a predicted mask looks, which corrects the IoU that was predicted before there was a mask to look at.

SAM predicts a mask's IoU from a token that never sees the mask.
[Mask Scoring R-CNN](https://arxiv.org/abs/1903.00241) predicts it from the mask, too. Here a few numbers describe a
mask: how sure it is, its form, whether it ends where steps are dear, and how far its inside is from the clicks.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sam_jax.models.layers import TokenMLP

HIDDEN_WIDTH = 64
DEPTH = 3
STABILITY_OFFSET = 1.0
"""Of the two thresholds whose masks are compared (SAM, section 5)."""
LEAST = 1e-3
"""Added before logarithms."""


class MaskScoring(nn.Module):
    """Corrections of predicted IoU.

    Attributes:
        num_masks: Number of masks that the decoder has.
        dtype: Dtype of activations and products.
    """

    num_masks: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        logits: Float[Array, "m h4 w4"],
        iou: Float[Array, " m"],
        which: Sequence[int],
        costs: Float[Array, "h4 w4 both"],
        distances: Float[Array, "2 k h4 w4"],
    ) -> Float[Array, " m"]:
        """What is to be added to the predicted IoU. No gradient reaches the masks.

        Args:
            logits: Logits of the masks.
            iou: IoU of the masks as predicted without looking at the masks.
            which: Numbers of the masks among all that the decoder has.
            costs: Costs of the steps between neighbours, as for `describe_masks`.
            distances: Distances from the clicks, as for `describe_masks`.
        """
        described = describe_masks(*jax.lax.stop_gradient((logits, costs, distances)))
        names = jax.nn.one_hot(jnp.asarray(which), self.num_masks)
        seen = jnp.concatenate(
            [described, jax.lax.stop_gradient(iou.astype(jnp.float32))[:, None], names], axis=1
        )
        correct = TokenMLP(HIDDEN_WIDTH, 1, DEPTH, self.dtype, name="mlp")
        return correct(seen.astype(self.dtype))[:, 0]


def describe_masks(
    logits: Float[Array, "m h4 w4"],
    costs: Float[Array, "h4 w4 both"],
    distances: Float[Array, "2 k h4 w4"],
) -> Float[Array, "m f"]:
    """Numbers of about unit size for every mask.

    Args:
        logits: Logits of the masks.
        costs: Costs of the steps to the right, then of those downwards (`sam_jax.models.fine.geodesics.StepCosts`).
        distances: Distances from foreground and background clicks (`sam_jax.models.fine.geodesics.measure_distances`).

    Returns:
        Stability; logarithms of the mean doubt inside, of the share of the frame, and of perimeter to root of area; for
        each kind of cost, logarithms of the mean along the border and inside, and how close the inside is to
        foreground and to background clicks, from 0 to 1.
    """
    right, down = jnp.split(costs.astype(jnp.float32), 2, axis=-1)

    def mean_cost(to_right: Array, downwards: Array) -> tuple[Array, Array]:
        """Of steps, which are 1 where they count; and how many they are."""
        total = jnp.einsum("mhw,hwk->mk", to_right, right[:, :-1]) + jnp.einsum(
            "mhw,hwk->mk", downwards, down[:-1]
        )
        count = to_right.sum(axis=(1, 2)) + downwards.sum(axis=(1, 2))
        return total / (count[:, None] + 1), count

    sides = logits.shape[1] * logits.shape[2]
    inside = (logits > 0).astype(jnp.float32)
    area = inside.sum(axis=(1, 2))
    surely, perhaps = (
        (logits > threshold).sum(axis=(1, 2), dtype=jnp.float32)
        for threshold in (STABILITY_OFFSET, -STABILITY_OFFSET)
    )
    doubt = (nn.sigmoid(-logits) * inside).sum(axis=(1, 2)) / (area + 1)
    across_right, across_down = inside[:, :, 1:] - inside[:, :, :-1], inside[:, 1:] - inside[:, :-1]
    on_border, perimeter = mean_cost(jnp.abs(across_right), jnp.abs(across_down))
    within, _ = mean_cost(inside[:, :, 1:] * inside[:, :, :-1], inside[:, 1:] * inside[:, :-1])
    closeness = jnp.einsum("mhw,lkhw->mlk", inside, jnp.exp(-distances)) / (area + 1)[:, None, None]
    of_mask = jnp.stack(
        [
            surely / (perhaps + 1),
            jnp.log(doubt + LEAST) / 2,
            jnp.log((area + 0.1) / sides) / 4,
            jnp.log((perimeter + 1) / (jnp.sqrt(area) + 1)),
        ],
        axis=1,
    )
    of_costs = [jnp.log(cost + LEAST) / 2 for cost in (on_border, within)]
    return jnp.concatenate([of_mask, *of_costs, closeness.reshape(len(logits), -1)], axis=1)
