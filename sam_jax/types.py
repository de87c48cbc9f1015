"""Names that cross folders: array aliases, prompts, predictions, errors.

The axis alphabet of every shape in this package:

    b   images of a batch             h w    pixels
    n   prompts of an image           gh gw  patches: the encoder's grid
    p   points of a prompt            t      tokens
    m   masks of a prompt             d      width: features of a token
    c   width of CLIP's space
"""

from enum import IntEnum
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

AnyArray = jax.Array | np.ndarray
"""What functions take that compute with JAX: its arrays, or NumPy's."""

Variables = dict[str, Any]
"""Flax variable collections as plain nested dictionaries: `params` (trained) and `constants` (never trained)."""

ImageEmbedding = PyTree[Float[AnyArray, "..."]]
"""What an image encoder gives: an array "b gh gw d"; a model with more to give has a NamedTuple of arrays instead."""


class InputError(ValueError):
    """Something that a user handed in is wrong; the message is one line and says what to do."""


class CheckpointError(InputError):
    """A file of weights is damaged, unsafe, or belongs to another model."""


class InputWarning(UserWarning):
    """Something that a user handed in can be read in two ways; the message is one line and says which was taken."""


class RunError(RuntimeError):
    """A run cannot go on although its input is right: the disk is full, the loss diverged.

    The message is one line and says what to do.
    """


class PointLabel(IntEnum):
    """What a point of a prompt means. A box is two points, its corners."""

    ABSENT = -2
    """Filler that brings a prompt to a fixed number of points; nothing attends to it."""
    NOT_A_POINT = -1
    """The official padding point, a token with an embedding of its own: follows points given without a box."""
    BACKGROUND = 0
    FOREGROUND = 1
    TOP_LEFT = 2
    BOTTOM_RIGHT = 3


class Prompts(NamedTuple):
    """What to segment: every prompt asks for one object.

    Attributes:
        points: Points x, y in pixels of the padded input, in which the resized image lies.
        labels: A `PointLabel` for every point.
        masks: Logits of an earlier answer at a quarter of the padded input's size; None for no mask prompt.
        text: CLIP's embeddings, of unit length, of what to segment; all zeros for a prompt without text, None where no
            prompt has any.
    """

    points: Float[AnyArray, "b n p 2"]
    labels: Int[AnyArray, "b n p"]
    masks: Float[AnyArray, "b n h w"] | None = None
    text: Float[AnyArray, "b n c"] | None = None


class PromptEmbeddings(NamedTuple):
    """Prompts as the decoder takes them.

    Attributes:
        tokens: One token for every point, and one for text where there is any.
        present: Which tokens take part in attention.
        dense: Dense map that is added to the image embedding; of size 1 along grid axes (and b, n) where it is the same
            everywhere.
    """

    tokens: Float[Array, "*prompts t d"]
    present: Bool[Array, "*prompts t"]
    dense: Float[Array, "*prompts gh gw d"]


EncodedPrompts = PyTree[Shaped[AnyArray, "..."]]
"""What the mask decoder takes of prompts: `PromptEmbeddings`; a model with more to tell has further fields."""


class MaskPrediction(NamedTuple):
    """Answers to prompts.

    Attributes:
        logits: Mask logits at a quarter of the padded input's size; above 0 is the object.
        iou: The model's own estimate of each mask's IoU, which is not confined to [0, 1].
    """

    logits: Float[Array, "b n m h w"]
    iou: Float[Array, "b n m"]
