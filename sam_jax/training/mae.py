"""Pre-training as a masked autoencoder: the objective, its metrics and its gradients.

Source: [MAE](https://arxiv.org/abs/2111.06377), section 3 and appendix A.1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, UInt8

from sam_jax.checkpoints import load_mae, save_mae
from sam_jax.data.example import Batch
from sam_jax.data.framing import PIXEL_MEAN, PIXEL_STD, normalise
from sam_jax.losses import patch_squared_error
from sam_jax.models import (
    Compute,
    MaskedAutoencoder,
    Reconstruction,
    abstract_mae,
    init_mae,
    reconstruct,
)
from sam_jax.ops.patches import patchify, unpatchify
from sam_jax.training.config import PretrainConfig
from sam_jax.training.parameters import find_frozen, put_back
from sam_jax.training.pictures import draw_reconstructions
from sam_jax.types import Variables


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


class MaskedPainting:
    """An `Objective`: the removed patches of photos, painted by a masked autoencoder.

    Args:
        config: Configuration of the run.
        compute: How the model is computed.
    """

    def __init__(self, config: PretrainConfig, compute: Compute) -> None:
        self._config, self._compute = config, compute

    @property
    def depth(self) -> int:
        """Number of encoder blocks."""
        return self._config.model.encoder.depth

    def abstract_variables(self) -> Variables:
        """Shapes and dtypes of the model's weights."""
        return abstract_mae(self._config.model)

    def find_frozen(self, params: Any) -> Any:
        """A tree that marks nothing as frozen."""
        return find_frozen(params, ())

    def first_weights(self, seed: int, say: Callable[[str], None]) -> Variables:
        """Random weights, or those of `start_from`.

        Raises:
            InputError: The file cannot be read, or is not this masked autoencoder.
        """
        config = self._config
        if config.start_from is None:
            return init_mae(config.model, seed)
        return load_mae(config.start_from, config=config.model)[1]

    def make_model(self, variables: Variables) -> MaskedAutoencoder:
        """The model of its weights."""
        return MaskedAutoencoder(self._config.model, variables, self._compute)

    def compute_gradients(
        self, model: MaskedAutoencoder, trainable: Any, batch: Batch, keys: Key[Array, " b"]
    ) -> tuple[Any, MaeMetrics]:
        """Gradients and metrics, both summed over removed patches."""
        return compute_mae_gradients(
            model, trainable, batch, keys, mask_ratio=self._config.mask_ratio
        )

    def open_embeddings(self, folder: Path, params: Any) -> None:
        """None: every image is seen anew."""

    def draw(
        self, variables: Variables, batch: Batch, encoded: Batch, keys: Key[Array, " b"]
    ) -> UInt8[np.ndarray, "h w 3"]:
        """A row for each photo: the photo, what the encoder sees of it, and what is painted."""
        model = self.make_model(variables)
        _, painted = jax.device_get(_paint(model, encoded, keys, self._config.mask_ratio))
        return draw_reconstructions(batch.images, *show_reconstruction(model, batch, painted))

    def save(self, path: Path, variables: Variables) -> None:
        """Write weights to a `.safetensors` file, under the public names."""
        save_mae(path, self._config.model, variables)


_paint = jax.jit(paint, static_argnums=3)
