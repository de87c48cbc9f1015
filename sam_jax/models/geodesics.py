"""How far every place is from the clicks along the image: over learned costs of the steps between neighbours.

Interactive segmentation before deep learning grew regions this way (Bai and Sapiro 2007, Criminisi et al. 2008), and
DeepIGeoS (Wang et al. 2019) hands such maps to a network. Here the costs are learned with the rest, as the distances
have gradients; costs start from what colours differ by.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sam_jax.types import AnyArray, PointLabel

COLOUR_WEIGHTS = (0.7, 2.0, 6.0)
"""Of the differences of colours in the costs, for each kind of cost in turn; what is learned is added."""
FLAT = -5.0
"""A step between equal colours costs softplus of it, but for what is learned."""
SWEEPS = 2
"""Each goes along the rows and the columns, both ways, so that paths of as many turns are found."""
FAR = 1e4
DECAYS = 3
"""Each four times as fast as the one before, which is the exponential's own."""


class StepCosts(nn.Module):
    """Costs of the steps from every place to the one on its right and the one below.

    Attributes:
        kinds: of cost.
    """

    kinds: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, pixels: Float[AnyArray, "b h w 3"], features: Float[Array, "b h4 w4 d"]
    ) -> Float[Array, "b h4 w4 c"]:
        """Costs above 0; of all kinds to the right, then downwards.

        Args:
            pixels: normalised.
            features: at a quarter of the pixels.
        """
        b, h, w, _ = features.shape
        colours = pixels.reshape(b, h, pixels.shape[1] // h, w, pixels.shape[2] // w, 3)
        colours = jnp.asarray(colours.mean(axis=(2, 4)), features.dtype)

        dense = nn.Dense(self.kinds, dtype=self.dtype, name="learned")
        weights = jnp.resize(jnp.array(COLOUR_WEIGHTS, self.dtype), (1, 1, 1, self.kinds))

        def cost(axis: int) -> Array:
            def next_along(x: AnyArray) -> Array:
                end = jax.lax.slice_in_dim(x, x.shape[axis] - 1, None, axis=axis)
                return jnp.concatenate([jax.lax.slice_in_dim(x, 1, None, axis=axis), end], axis)

            other, change = next_along(features), jnp.abs(next_along(colours) - colours)
            learned = dense(
                jnp.concatenate(
                    [change, jnp.abs(other - features), 0.5 * (other + features)], axis=-1
                )
            )
            return learned + weights * change.sum(axis=-1, keepdims=True) + FLAT

        return nn.softplus(jnp.concatenate([cost(2), cost(1)], axis=-1))


def measure_distances(
    clicks: Int[Array, "n t 3"], costs: Float[Array, "h4 w4 c"]
) -> Float[Array, "n c h4 w4"]:
    """Of every place, along the cheapest path from the nearest click; FAR where there is no click of the kind.

    Args:
        clicks: of several prompts, row and column at a quarter of the pixels, and label; below 0 for tokens that are
            no clicks.
        costs: of one image, from `StepCosts`.

    Returns:
        From foreground clicks over each kind of cost, then from background clicks.
    """
    h, w, channels = costs.shape
    kinds = channels // 2
    rows, columns = jax.nn.one_hot(clicks[..., 0], h), jax.nn.one_hot(clicks[..., 1], w)
    right, down = (part.swapaxes(1, 2) for part in jnp.split(costs.astype(jnp.float32), 2, axis=-1))

    def spread(is_of_kind: Array) -> Array:
        clicked = jnp.einsum("nth,ntw,nt->hnw", rows, columns, is_of_kind.astype(jnp.float32))
        distances = jnp.where(clicked[:, :, None] > 0, 0.0, FAR)
        distances = jnp.repeat(distances, kinds, axis=2)
        for _ in range(SWEEPS):
            distances = _sweep(distances.swapaxes(0, 3), right.swapaxes(0, 2), down.swapaxes(0, 2))
            distances = _sweep(distances.swapaxes(0, 3), down, right)
        return distances.transpose(1, 2, 0, 3)

    def stay_far(_: Array) -> Array:
        return jnp.full((clicks.shape[0], kinds, h, w), FAR)

    of_kinds = [clicks[..., 2] == label for label in (PointLabel.FOREGROUND, PointLabel.BACKGROUND)]
    return jnp.concatenate(
        [jax.lax.cond(found.any(), spread, stay_far, found) for found in of_kinds], axis=1
    )


def describe_distances(distances: Float[Array, "g h4 w4"]) -> list[Float[Array, "g h4 w4"]]:
    """What the mask decoder sees of them: logarithms, then exponentials of several decays; 0 where no click is."""
    fast = jnp.exp(-distances)
    shown = [jnp.log(1 + distances) / 3, fast]
    for _ in range(DECAYS - 1):
        fast = jnp.square(jnp.square(fast))
        shown.append(fast)
    return [jnp.where(distances < FAR, part, 0.0) for part in shown]


class Mixture(nn.Module):
    """A linear layer over maps that lie behind each other, not in one array: on a CPU that would take longer.

    Attributes:
        features: of every place of the result.
    """

    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, maps: list[Float[Array, "g h w"]]) -> Float[Array, "h w c"]:
        width = sum(part.shape[0] for part in maps)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (width, self.features))
        pieces = jnp.split(kernel.astype(self.dtype), len(maps))
        mixed = [
            jnp.einsum("ghw,gc->hwc", part.astype(self.dtype), piece)
            for part, piece in zip(maps, pieces, strict=True)
        ]
        return functools.reduce(jnp.add, mixed)


def _sweep(
    distances: Float[Array, "l n k m"],
    onwards: Float[Array, "l k m"],
    sideways: Float[Array, "l k m"],
) -> Float[Array, "l n k m"]:
    """Shortened by the paths that go along the first axis, straight or obliquely, both ways.

    Args:
        distances: of several prompts.
        onwards: costs of the steps to the next along the first axis.
        sideways: along the last axis.
    """
    beside = sideways[..., :-1]
    following = jnp.concatenate([beside[1:], beside[-1:]])
    rising = jnp.minimum(onwards[..., :-1] + following, beside + onwards[..., 1:])
    falling = jnp.minimum(onwards[..., 1:] + following, beside + onwards[..., :-1])
    far = jnp.full_like(distances[0], FAR)
    edge = far[..., :1]

    @functools.partial(
        jax.checkpoint, prevent_cse=False
    )  # what a step compares is not kept for gradients
    def step(before: Array, here: tuple[Array, ...]) -> tuple[Array, Array]:
        near, straight, from_left, from_right = here
        left = jnp.concatenate([edge, before[..., :-1] + from_left[None]], axis=-1)
        right = jnp.concatenate([before[..., 1:] + from_right[None], edge], axis=-1)
        near = jnp.minimum(near, before + straight[None])
        near = jnp.minimum(near, jnp.minimum(left, right))
        return near, near

    there = tuple(jnp.concatenate([x[:1], x[:-1]]) for x in (onwards, rising, falling))
    _, distances = jax.lax.scan(step, far, (distances, *there))
    return jax.lax.scan(step, far, (distances, onwards, falling, rising), reverse=True)[1]
