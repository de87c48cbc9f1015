"""Loss and gradients of a batch, or a part of one."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from sam_jax.data.example import Batch
from sam_jax.data.framing import normalise
from sam_jax.models import Model, encode_image
from sam_jax.training.embeddings import EmbeddedBatch
from sam_jax.training.rounds import CELL, Interaction, Session, Sums, simulate_session
from sam_jax.types import AnyArray


def compute_gradients(
    model: Model,
    trainable: Any,
    batch: Batch | EmbeddedBatch,
    keys: Key[Array, " b"],
    interaction: Interaction,
    *,
    drop_path: float = 0.0,
) -> tuple[Any, Sums]:
    """Gradients of the loss summed over masks, and the sums.

    Both add up over parts of a batch; divided by the number of masks in all parts they are means.

    Args:
        model: with all weights.
        trainable: those to differentiate by: a part of the tree of `params`, other leaves None.
        batch: images, or their embeddings, and truth.
        keys: one for each image.
        interaction: how a session goes.
        drop_path: chance to leave out the last block's attention or MLP; it rises linearly from 0 at the first.
    """

    def loss(trainable: Any) -> tuple[Float[Array, ""], Sums]:
        params = jax.tree.map(
            lambda mine, frozen: frozen if mine is None else mine,
            trainable,
            model.variables["params"],
            is_leaf=lambda leaf: leaf is None,
        )
        model_now = model.replace(variables={**model.variables, "params": params})
        sums, _ = play_batch(model_now, batch, keys, interaction, drop_path=drop_path)
        return sums.loss, sums

    gradients, sums = jax.grad(loss, has_aux=True)(trainable)
    return gradients, sums


def play_batch(
    model: Model,
    batch: Batch | EmbeddedBatch,
    keys: Key[Array, " b"],
    interaction: Interaction,
    *,
    drop_path: float = 0.0,
) -> tuple[Sums, Session]:
    """Encode what of a batch isn't yet, and simulate a session for every mask; see `compute_gradients`."""
    key_path, key_session = jax.vmap(lambda key: jax.random.split(key), out_axes=1)(keys)
    if isinstance(batch, EmbeddedBatch):
        embeddings = jax.tree.map(jnp.asarray, batch.embeddings)
    else:
        branches = None
        if drop_path > 0:
            depth = model.config.image_encoder.depth
            draw = jax.vmap(lambda key: draw_branches(key, depth, drop_path), out_axes=1)
            branches = draw(key_path)
        embeddings = encode_image(model, normalise(batch.images, batch.fitted), branches)
    inside = find_inside(batch.fitted, batch.masks.shape[2:])
    truth, valid = jnp.asarray(batch.masks), jnp.asarray(batch.valid)
    return simulate_session(model, embeddings, truth, valid, inside, key_session, interaction)


def draw_branches(key: Key[Array, ""], depth: int, drop_path: float) -> Float[Array, "depth 2"]:
    """Factors of every block's two branches for one image: 0 where dropped, else what keeps the mean."""
    keep = 1 - jnp.linspace(0.0, drop_path, depth)[:, None]
    return jax.random.bernoulli(key, keep, (depth, 2)).astype(jnp.float32) / keep


def find_inside(fitted: Int[AnyArray, "b 2"], low_size: tuple[int, int]) -> Bool[Array, "b h w"]:
    """Cells of low-resolution masks that hold any of the photo."""
    rows, columns = (CELL * jnp.arange(side) for side in low_size)
    in_rows = rows[None, :] < fitted[:, :1]
    in_columns = columns[None, :] < fitted[:, 1:]
    return in_rows[:, :, None] & in_columns[:, None, :]
