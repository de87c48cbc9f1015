"""How far every place is from the clicks along the image: over learned costs of the steps between neighbours.

Interactive segmentation before deep learning grew regions this way (Bai and Sapiro 2007, Criminisi et al. 2008), and
[DeepIGeoS](https://arxiv.org/abs/1707.00652) hands such maps to a network. Here the costs are learned with the rest,
as the distances have gradients; costs start from what colours differ by.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sam_jax.types import AnyArray, PointLabel

COLOUR_WEIGHTS = (0.7, 2.0, 6.0)
"""Of the differences of colours in the costs, for each kind of cost in turn; what is learned is added."""
FLAT = -5.0
"""A step between equal colours costs softplus of it, but for what is learned."""
SWEEPS = 2
"""Each goes along the rows and the columns, both ways, so that paths of as many turns are found."""
FAR = 1e4
DECAYS = 3
"""Each four times as fast as the one before; the first is the exponential's own."""
PARTS = 1 + DECAYS
"""Shown of every distance: its logarithm, too."""
LABELS = PointLabel.FOREGROUND, PointLabel.BACKGROUND


class StepCosts(nn.Module):
    """Costs of the steps from every place to the one on its right and the one below.

    Attributes:
        kinds: Number of costs of each step.
        dtype: Dtype of the product.
    """

    kinds: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, pixels: Float[AnyArray, "b h w 3"], features: Float[Array, "b h4 w4 d"]
    ) -> Float[Array, "b h4 w4 c"]:
        """Costs above 0; of all kinds to the right, then downwards.

        Args:
            pixels: Normalised, padded images.
            features: Features at a quarter of the pixels.
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
    clicks: Int[Array, "n t 3"], costs: Float[Array, "h4 w4 both"]
) -> Float[Array, "n 2 k h4 w4"]:
    """Distance of every place along the cheapest path from the nearest click; FAR where there is no click of the label.

    Args:
        clicks: Row and column at a quarter of the pixels, and label, of the tokens of several prompts; below 0 for
            tokens that are no clicks.
        costs: Costs of the steps in one image, from `StepCosts`.

    Returns:
        From foreground and from background clicks (`LABELS`), over each kind of cost.
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

    of_labels = [clicks[..., 2] == label for label in LABELS]
    return jnp.stack(
        [jax.lax.cond(found.any(), spread, stay_far, found) for found in of_labels], axis=1
    )


class Mixture(nn.Module):
    """Kernel of a linear layer over what is shown of distances, by part, label and kind of cost.

    Attributes:
        kinds: Number of costs that distances are measured over.
        features: Number of features of every place of the result.
    """

    kinds: int
    features: int

    @nn.compact
    def __call__(self) -> Float[Array, "p 2 k c"]:
        shape = PARTS * len(LABELS) * self.kinds, self.features
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        return kernel.reshape(PARTS, len(LABELS), self.kinds, self.features)


def mix_distances(
    distances: Float[Array, "2 k h4 w4"],
    is_clicked: Bool[Array, "2"],
    to_tokens: Float[Array, "p 2 k d"],
    to_quarter: Float[Array, "p 2 k c"],
) -> tuple[Float[Array, "gh gw d"], Float[Array, "h4 w4 c"]]:
    """What the mask decoder takes in of them, for its tokens and at a quarter of the pixels.

    Of each label that is clicked, logarithms and exponentials of several decays, mixed by kernels. The parts are not
    laid behind each other in one array first: on a CPU that would take longer than the rest.

    Args:
        distances: Distances from the clicks of one prompt.
        is_clicked: Whether there are clicks of each label.
        to_tokens: Kernel (`Mixture`) for the tokens.
        to_quarter: Kernel (`Mixture`) for a quarter of the pixels.
    """
    _, _, h, w = distances.shape

    def pool(part: Array) -> Array:
        rows = part.reshape(-1, h // 4, 4, w).mean(axis=2)
        return rows.reshape(-1, h // 4, w // 4, 4).mean(axis=3)

    def mix(parts: list[Array], kernels: Array) -> Array:
        """By products of whole maps: for so few of them quicker on a CPU than a product of matrices."""
        kernels = kernels.astype(distances.dtype)[..., None, None]
        mixed = [
            part[kind, None] * kernel[kind]
            for part, kernel in zip(parts, kernels, strict=True)
            for kind in range(len(part))
        ]
        return jnp.moveaxis(functools.reduce(jnp.add, mixed), 0, -1)

    def take_in(label: int) -> tuple[Array, Array]:
        parts = _describe(distances[label])
        return mix([pool(x) for x in parts], to_tokens[:, label]), mix(parts, to_quarter[:, label])

    def take_nothing() -> tuple[Array, Array]:
        of_tokens = jnp.zeros((h // 4, w // 4, to_tokens.shape[-1]), distances.dtype)
        return of_tokens, jnp.zeros((h, w, to_quarter.shape[-1]), distances.dtype)

    foreground, background = (
        jax.lax.cond(is_clicked[label], functools.partial(take_in, label), take_nothing)
        for label in range(len(LABELS))
    )
    return foreground[0] + background[0], foreground[1] + background[1]


def _describe(distances: Float[Array, "k h w"]) -> list[Float[Array, "k h w"]]:
    fast = jnp.exp(-distances)
    shown = [jnp.log(1 + distances) / 3, fast]
    for _ in range(DECAYS - 1):
        fast = jnp.square(jnp.square(fast))
        shown.append(fast)
    return shown


def _sweep(
    distances: Float[Array, "l n k m"],
    onwards: Float[Array, "l k m"],
    sideways: Float[Array, "l k m"],
) -> Float[Array, "l n k m"]:
    """Shortened by the paths that go along the first axis, straight or obliquely, both ways.

    Args:
        distances: Distances of several prompts.
        onwards: Costs of the steps to the next place along the first axis.
        sideways: Costs of the steps to the next place along the last axis.
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
