"""Pre-training as a masked autoencoder: the objective, its metrics and its gradients.

Source: [MAE](https://arxiv.org/abs/2111.06377), section 3 and appendix A.1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, UInt8

from sam_jax.data.example import Batch
from sam_jax.data.framing import PIXEL_MEAN, PIXEL_STD, normalise
from sam_jax.losses import patch_squared_error
from sam_jax.models import MaskedAutoencoder, Reconstruction, reconstruct
from sam_jax.ops.patches import patchify, unpatchify
from sam_jax.training.parameters import put_back


class MaeMetrics(NamedTuple):
    """The error of painted patches: sums over removed patches, so that parts of a batch add up, until `means`.

    Attributes:
        patches: Number of removed patches.
        loss: The training objective: squared error of the patch, the mean over its pixels.
    """

    patches: Float[Array, ""]
    loss: Float[Array, ""]

    @property
    def total(self) -> Float[Array, ""]:
        """Number of removed patches."""
        return self.patches

    def means(self) -> "MaeMetrics":
        """Means over removed patches in place of sums; 0 where there is none."""
        return MaeMetrics(self.patches, self.loss / jnp.maximum(self.patches, 1.0))


def paint(
    model: MaskedAutoencoder, batch: Batch, keys: Key[Array, " b"], mask_ratio: float
) -> tuple[MaeMetrics, Reconstruction]:
    """Remove random patches of photos, and paint them.

    Args:
        model: The model with all its weights.
        batch: Photos; its masks are not looked at.
        keys: One key for each photo.
        mask_ratio: Share of the patches to remove, in [0, 1).

    Returns:
        Metrics summed over removed patches, of which `loss` is minimised, and what was painted.
    """
    grid = model.config.grid
    pixels = normalise(batch.images, batch.fitted)
    noise = jax.vmap(lambda key: jax.random.uniform(key, (grid[0] * grid[1],)))(keys)
    painted = reconstruct(model, pixels, noise, mask_ratio=mask_ratio)
    errors = patch_squared_error(painted.patches, patchify(pixels, model.config.patch_size))
    return MaeMetrics(painted.removed.sum(), (errors * painted.removed).sum()), painted


def compute_mae_gradients(
    model: MaskedAutoencoder,
    trainable: Any,
    batch: Batch,
    keys: Key[Array, " b"],
    *,
    mask_ratio: float,
) -> tuple[Any, MaeMetrics]:
    """Gradients of the loss, and metrics, both summed over removed patches: sums over parts of a batch add up.

    Args:
        model: The model with all its weights.
        trainable: The parameters to differentiate by: the tree of `params` with None in place of other leaves.
        batch: Photos.
        keys: One key for each photo.
        mask_ratio: Share of the patches to remove, in [0, 1).
    """

    def loss(trainable: Any) -> tuple[Float[Array, ""], MaeMetrics]:
        params = put_back(trainable, model.variables["params"])
        moved = model.replace(variables={**model.variables, "params": params})  # pyright: ignore[reportAttributeAccessIssue]
        metrics, _ = paint(moved, batch, keys, mask_ratio)
        return metrics.loss, metrics

    return jax.grad(loss, has_aux=True)(trainable)


def show_reconstruction(
    model: MaskedAutoencoder, batch: Batch, painted: Reconstruction
) -> tuple[UInt8[np.ndarray, "b h w 3"], Bool[np.ndarray, "b h w"]]:
    """The painted photos with 8 bits a channel, and which of their pixels were removed.

    A patch is painted with mean 0 and variance 1, and gets the true patch's mean and variance back.

    Args:
        model: The model, of which the sizes count.
        batch: Photos.
        painted: What the model paints, from `paint`.
    """
    side, grid = model.config.patch_size, model.config.grid
    true = np.asarray(patchify(np.asarray(normalise(batch.images, batch.fitted)), side))
    mean, spread = true.mean(-1, keepdims=True), true.std(-1, ddof=1, keepdims=True)
    patches = np.asarray(painted.patches, np.float32) * spread + mean
    pixels = np.asarray(unpatchify(patches, side, grid)) * np.array(PIXEL_STD) + PIXEL_MEAN
    removed = np.repeat(np.asarray(painted.removed)[:, :, None], side * side, axis=2)
    hidden = np.asarray(unpatchify(removed, side, grid))[..., 0] > 0
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8), hidden
