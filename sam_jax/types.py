"""Names that cross folders: array aliases, prompts, predictions, errors.

The axis alphabet of every shape in this package:

    b   images of a batch             h w    pixels
    n   prompts of an image           gh gw  patches: the encoder's grid
    p   points of a prompt            t      tokens
    m   masks of a prompt             d      width: features of a token
"""

from enum import IntEnum
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

AnyArray = jax.Array | np.ndarray
"""What functions take that compute with JAX: its arrays, or NumPy's."""

Variables = dict[str, Any]
"""Flax variable collections as plain nested dictionaries: `params` (trained) and `constants` (never trained)."""


class InputError(ValueError):
    """Something that a user handed in is wrong; the message is one line and says what to do."""


class CheckpointError(InputError):
    """A file of weights is damaged, unsafe, or belongs to another model."""


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
        points: x, y in pixels of the model's input frame (the resized, padded image).
        labels: a `PointLabel` for every point.
        masks: logits of an earlier answer in the padded frame, at a quarter of its size; None for no mask prompt.
    """

    points: Float[AnyArray, "b n p 2"]
    labels: Int[AnyArray, "b n p"]
    masks: Float[AnyArray, "b n h w"] | None = None


class PromptEmbeddings(NamedTuple):
    """Prompts as the decoder takes them.

    Attributes:
        tokens: one for every point, not in any particular order (text can add its own).
        present: which tokens take part in attention.
        dense: added to the image embedding; of size 1 along grid axes (and b, n) where it is the same everywhere.
        clicks: row and column at a quarter of the pixels, and label, of tokens that are clicks; -1 for others. Only
            models that look at details, at maps of clicks or at distances from them use them.
    """

    tokens: Float[Array, "b n t d"]
    present: Bool[Array, "b n t"]
    dense: Float[Array, "#b #n #gh #gw d"]
    clicks: Int[Array, "b n t 3"]


class MaskPrediction(NamedTuple):
    """Answers to prompts.

    Attributes:
        logits: masks in the padded frame at a quarter of its size; above 0 is the object.
        iou: the model's own estimate of each mask's IoU; not confined to [0, 1].
    """

    logits: Float[Array, "b n m h w"]
    iou: Float[Array, "b n m"]
