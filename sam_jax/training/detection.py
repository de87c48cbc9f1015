"""The objective of a detector: the middles and boxes of all masks, from image embeddings that stay as they are."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, UInt8

from sam_jax.checkpoints import (
    StoredDetector,
    load_checkpoint,
    load_detector,
    name_encoder,
    save_detector,
)
from sam_jax.data.example import Batch
from sam_jax.data.transforms import CELL
from sam_jax.losses import box_around, centre_focal, centre_targets, giou_loss
from sam_jax.models import (
    Compute,
    Detector,
    abstract_detector,
    init_detector,
    make_sam,
    pick_peaks,
    predict_boxes,
)
from sam_jax.training.config import DetectionConfig
from sam_jax.training.embeddings import EmbeddedBatch, Embeddings
from sam_jax.training.parameters import find_frozen, put_back
from sam_jax.training.pictures import draw_boxes
from sam_jax.types import InputError, Variables

BOX_WEIGHT = 5.0
"""Weight of the boxes' loss beside that of the centres (TTFNet, section 5.1)."""
SHOWN_SCORE = 0.3
"""Score from which a box is in a picture."""


class DetectionMetrics(NamedTuple):
    """Losses of boxes: sums over objects, so that parts of a batch add up, until `means`.

    Attributes:
        objects: Number of objects.
        loss: The training objective: `centre` + 5 · `box`.
        centre: Focal loss of the centres, summed over the cells of an image.
        box: 1 - GIoU, the mean over the cells near an object's centre.
    """

    objects: Float[Array, ""]
    loss: Float[Array, ""]
    centre: Float[Array, ""]
    box: Float[Array, ""]

    @property
    def total(self) -> Float[Array, ""]:
        """Number of objects."""
        return self.objects

    def means(self) -> "DetectionMetrics":
        """Means over objects in place of sums; 0 where there is none."""
        objects, *sums = self
        divisor = jnp.maximum(objects, 1.0)
        return DetectionMetrics(objects, *(total / divisor for total in sums))


def measure_detection(
    detector: Detector, features: Float[Array, "b gh gw d"], batch: EmbeddedBatch
) -> DetectionMetrics:
    """Losses of all objects of a batch, summed.

    Args:
        detector: Detector with its weights.
        features: The part of the batch's embeddings that every model has.
        batch: Truth: the boxes around its masks are what is to be found.
    """
    dense = predict_boxes(detector, features)
    rows, columns = dense.logits.shape[1:]

    def of_image(
        masks: Bool[Array, "n h w"], valid: Bool[Array, " n"], logits: Array, boxes: Array
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        around = CELL * jax.vmap(box_around)(masks)
        targets = centre_targets(around, valid, size=(rows, columns), cell=detector.config.cell)
        box = targets.weights * giou_loss(boxes, targets.boxes)
        return centre_focal(logits, targets.heat).sum(), box.sum()

    centre, box = jax.vmap(of_image)(
        jnp.asarray(batch.masks), jnp.asarray(batch.valid), dense.logits, dense.boxes
    )
    centre, box = centre.sum(), box.sum()
    objects = jnp.asarray(batch.valid).sum(dtype=jnp.float32)
    return DetectionMetrics(objects, centre + BOX_WEIGHT * box, centre, box)


class Detection:
    """An `Objective`: boxes of all masks, from the embeddings of a frozen image encoder.

    Args:
        config: Configuration of the run.
        compute: How the image encoder is computed.

    Raises:
        InputError: The weights of the Segment Anything cannot be read.
    """

    def __init__(self, config: DetectionConfig, compute: Compute) -> None:
        self._config = config
        self._sam = make_sam(config.model, compute)
        size = config.model.image_encoder.image_size
        read, variables = load_checkpoint(config.checkpoint, image_size=size)
        if read.image_encoder != config.model.image_encoder:
            raise InputError(f"{config.checkpoint} has another image encoder than `model`")
        self._encoder = variables["params"]["image_encoder"]
        self._name = name_encoder(variables["params"])

    @property
    def depth(self) -> int:
        """Number of encoder blocks that train: none."""
        return 0

    def abstract_variables(self) -> Variables:
        """Shapes and dtypes of the detector's weights."""
        return abstract_detector(self._config.detector)

    def find_frozen(self, params: Any) -> Any:
        """A tree that marks nothing as frozen: the encoder's weights are no part of what trains."""
        return find_frozen(params, ())

    def first_weights(self, seed: int, say: Callable[[str], None]) -> Variables:
        """Random weights, or those of `start_from`.

        Raises:
            InputError: The file cannot be read, or its detector has other sizes.
        """
        config = self._config
        if config.start_from is None:
            return init_detector(config.detector, seed)
        stored = load_detector(config.start_from)
        if stored.config != config.detector:
            raise InputError(f"{config.start_from} has a detector of other sizes than `detector`")
        return stored.variables

    def make_model(self, variables: Variables) -> Detector:
        """The detector of its weights."""
        return Detector(self._config.detector, variables)

    def compute_gradients(
        self, model: Detector, trainable: Any, batch: EmbeddedBatch, keys: Key[Array, " b"]
    ) -> tuple[Any, DetectionMetrics]:
        """Gradients and metrics, both summed over objects."""
        features = jnp.asarray(self._sam.features_of(batch.embeddings), jnp.float32)

        def loss(trainable: Any) -> tuple[Float[Array, ""], DetectionMetrics]:
            params = put_back(trainable, model.variables["params"])
            metrics = measure_detection(Detector(model.config, {"params": params}), features, batch)
            return metrics.loss, metrics

        return jax.grad(loss, has_aux=True)(trainable)

    def open_embeddings(self, folder: Path, params: Any) -> Embeddings:
        """Image embeddings of the Segment Anything."""
        return Embeddings(folder, self._sam, self._encoder)

    def draw(
        self, variables: Variables, batch: Batch, encoded: EmbeddedBatch, keys: Key[Array, " b"]
    ) -> UInt8[np.ndarray, "h w 3"]:
        """A row for each photo: boxes that were found, and the true ones."""
        features = np.asarray(self._sam.features_of(encoded.embeddings), np.float32)
        most = encoded.masks.shape[1]
        ranked = jax.device_get(_find(self.make_model(variables), features, batch.fitted, most))
        around = CELL * np.asarray(jax.vmap(jax.vmap(box_around))(batch.masks))
        found = [boxes[scores >= SHOWN_SCORE] for boxes, scores in zip(*ranked, strict=True)]
        truth = [boxes[valid] for boxes, valid in zip(around, batch.valid, strict=True)]
        return draw_boxes(batch.images, batch.fitted, found, truth)

    def save(self, path: Path, variables: Variables) -> None:
        """Write the detector's weights to a `.safetensors` file of ours."""
        save_detector(path, StoredDetector(self._config.detector, variables, self._name))


@partial(jax.jit, static_argnums=3)
def _find(detector: Detector, features: Any, fitted: Any, most: int) -> Any:
    return pick_peaks(predict_boxes(detector, features), fitted, most)
