"""A detector of objects without classes: a small head on the image embedding, which gives boxes to prompt with.

Every cell of a map has a score for being the middle of an object, and the box of the object that it would be in. The
second stage of the paper's data engine has such a detector
([Segment Anything](https://arxiv.org/abs/2304.02643), section 4).

Source: [Objects as Points](https://arxiv.org/abs/1904.07850) (CenterNet), section 4, for scores and peaks; boxes as
distances from the cell to the four sides, as in [TTFNet](https://arxiv.org/abs/1909.00700), section 3.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sam_jax.models.config import PATCH_SIZE
from sam_jax.models.layers import NORM_EPSILON, LayerNorm
from sam_jax.ops.activations import gelu
from sam_jax.ops.arguments import check_counts
from sam_jax.types import AnyArray, InputError, Variables

PRIOR = 0.01
"""Score of every cell before training, so that the many cells without an object don't drown the others
([Focal Loss](https://arxiv.org/abs/1708.02002), section 4.1)."""
_LARGEST_EXPONENT = 8.0


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """Sizes of a detector.

    Attributes:
        embedding_width: Channels of the image embedding.
        width: Channels of the detector's own layers.
        depth: Number of convolutions before the map is enlarged.
        enlargements: How often the map is made twice as fine: 0 for cells of 16 pixels, 1 for 8, 2 for 4.
    """

    embedding_width: int = 256
    width: int = 64
    depth: int = 2
    enlargements: int = 1

    def __post_init__(self) -> None:
        check_counts(self, "embedding_width", "width", "depth")
        if self.enlargements not in (0, 1, 2):
            raise InputError(f"enlargements is 0, 1 or 2, not {self.enlargements}")

    @property
    def cell(self) -> int:
        """Pixels of the padded input along the side of a cell."""
        return PATCH_SIZE >> self.enlargements


class DenseBoxes(NamedTuple):
    """What a detector says of every cell.

    Attributes:
        logits: Logit of the score: whether the cell is the middle of an object.
        boxes: Box x0, y0, x1, y1 of that object in pixels of the padded input.
    """

    logits: Float[Array, "b rows columns"]
    boxes: Float[Array, "b rows columns 4"]


class RankedBoxes(NamedTuple):
    """The best boxes of images, the best first.

    Attributes:
        boxes: Boxes x0, y0, x1, y1 in pixels of the padded input.
        scores: Scores from 0 to 1; 0 for boxes that only fill up the number.
    """

    boxes: Float[Array, "b k 4"]
    scores: Float[Array, "b k"]


class DetectorHead(nn.Module):
    """The layers of a detector.

    Attributes:
        config: Sizes of the detector.
    """

    config: DetectorConfig

    @nn.compact
    def __call__(
        self, features: Float[AnyArray, "b gh gw d"]
    ) -> tuple[Float[Array, "b rows columns"], Float[Array, "b rows columns 4"]]:
        config = self.config
        x = jnp.asarray(features, jnp.float32)
        for index in range(config.depth):
            x = self._convolve(x, f"conv_{index}")
        for index in range(config.enlargements):
            x = _enlarge(nn.Dense(4 * config.width, name=f"enlarge_{index}")(x))
            x = self._convolve(x, f"fine_conv_{index}")
        logits = nn.Dense(1, name="score")(x)[..., 0]
        distances = nn.Dense(4, name="box")(x)
        return logits - math.log((1 - PRIOR) / PRIOR), distances

    def _convolve(self, x: Float[Array, "b gh gw d"], name: str) -> Float[Array, "b gh gw w"]:
        x = nn.Conv(self.config.width, (3, 3), name=name)(x)
        return gelu(LayerNorm(NORM_EPSILON, jnp.dtype("float32"), name=f"{name}_norm")(x))


@flax.struct.dataclass
class Detector:
    """A detector with its weights: a pytree that passes through `jax.jit` and friends.

    Attributes:
        config: Sizes of the detector.
        variables: Weights of the detector.
    """

    config: DetectorConfig = flax.struct.field(pytree_node=False)
    variables: Variables = flax.struct.field()


def predict_boxes(detector: Detector, features: Float[AnyArray, "b gh gw d"]) -> DenseBoxes:
    """Scores and boxes of all cells of images.

    Args:
        detector: Detector with its weights.
        features: Image embeddings, of which `Sam.features_of` gives the part that every model has.

    Raises:
        InputError: The embeddings are of a model of another width.
    """
    if features.shape[-1] != detector.config.embedding_width:
        raise InputError(
            f"the detector is for image embeddings of width {detector.config.embedding_width}, "
            f"not {features.shape[-1]}: train one for this model"
        )
    answered: Any = DetectorHead(detector.config).apply(detector.variables, features)
    logits, raw = answered
    cell = detector.config.cell
    distances = cell * jnp.exp(jnp.minimum(raw, _LARGEST_EXPONENT))
    rows, columns = (
        cell * (jnp.arange(side, dtype=jnp.float32) + 0.5) for side in logits.shape[1:]
    )
    middle = jnp.stack(jnp.broadcast_arrays(columns[None, :], rows[:, None]), axis=-1)[None]
    return DenseBoxes(
        logits,
        jnp.concatenate([middle - distances[..., :2], middle + distances[..., 2:]], axis=-1),
    )


def pick_peaks(dense: DenseBoxes, fitted: Int[AnyArray, "b 2"], most: int) -> RankedBoxes:
    """The boxes of the cells whose score is the highest of the 3 x 3 cells around, cut to the photo.

    Source: [Objects as Points](https://arxiv.org/abs/1904.07850), section 4, "From points to bounding boxes".

    Args:
        dense: Scores and boxes of all cells, from `predict_boxes`.
        fitted: Height and width of each photo inside its padded input, in pixels.
        most: Number of boxes of each image; boxes of score 0 fill it up.
    """
    b, height, width = dense.logits.shape
    highest = nn.max_pool(dense.logits[..., None], (3, 3), (1, 1), "SAME")[..., 0]
    middle = (dense.boxes[..., :2] + dense.boxes[..., 2:]) / 2
    limit = jnp.asarray(fitted, jnp.float32)[:, None, None, ::-1]  # x, y
    is_peak = (dense.logits == highest) & ((middle >= 0) & (middle < limit)).all(axis=-1)
    scores = jnp.where(is_peak, jax.nn.sigmoid(dense.logits), 0.0).reshape(b, -1)
    count = min(most, height * width)
    best, places = jax.lax.top_k(scores, count)
    boxes = jnp.take_along_axis(dense.boxes.reshape(b, -1, 4), places[..., None], axis=1)
    boxes = jnp.clip(boxes, 0.0, jnp.tile(limit[:, :, 0], (1, 1, 2)))
    more = ((0, 0), (0, most - count))
    return RankedBoxes(jnp.pad(boxes, (*more, (0, 0))), jnp.pad(best, more))


def abstract_detector(config: DetectorConfig) -> Variables:
    """Shapes and dtypes of a detector's weights."""
    features = jnp.zeros((1, 1, 1, config.embedding_width))
    return jax.eval_shape(DetectorHead(config).init, jax.random.key(0), features)  # pyright: ignore[reportReturnType]


def _enlarge(x: Float[Array, "b gh gw d4"]) -> Float[Array, "b gh2 gw2 d"]:
    """A map twice as fine, whose four cells in place of one lie behind one another in the channels."""
    b, height, width, channels = x.shape
    blocks = x.reshape(b, height, width, 2, 2, channels // 4).swapaxes(2, 3)
    return blocks.reshape(b, 2 * height, 2 * width, channels // 4)
