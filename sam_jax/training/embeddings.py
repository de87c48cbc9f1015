"""Image embeddings on disk, for training with a frozen encoder: computed once, and read from then on.

The folder of the files is named by the encoder's sizes, precision and weights, and the files by the pixels
(`sam_jax.training.kept_arrays`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, PyTree, UInt8

from sam_jax.checkpoints.tensors import digest_leaves
from sam_jax.data.augmentation import Augmentation
from sam_jax.data.example import Batch, RecordError, Source
from sam_jax.data.framing import normalise
from sam_jax.data.transforms import frame_example
from sam_jax.models import Model, Sam, default_compute, encode_image, make_sam, suit
from sam_jax.training.kept_arrays import KeptArrays, count_bytes
from sam_jax.types import ImageEmbedding


class EmbeddedBatch(NamedTuple):
    """A `Batch` with image embeddings in place of images.

    Attributes:
        embeddings: Image embeddings, as `encode_image` returns them: one array, or several.
        fitted: Height and width of each photo inside its padded input, in pixels.
        masks: Truth at the size of low-resolution logits.
        valid: Whether a mask is real; the others only fill up the batch.
        text: CLIP's embeddings of each mask, as in `Batch`.
    """

    embeddings: ImageEmbedding
    fitted: Int32[np.ndarray, "b 2"]
    masks: Bool[np.ndarray, "b n h_low w_low"]
    valid: Bool[np.ndarray, "b n"]
    text: Float32[np.ndarray, "b n k c"] | None = None


class Embeddings:
    """The image embeddings of one encoder, in a folder.

    Images are encoded one by one, so that an embedding does not depend on the other images of the batch.

    Args:
        folder: The folder for the files of any number of encoders.
        sam: The model without weights.
        encoder: The image encoder's parameters, in the memory of this machine.

    Attributes:
        folder: The folder of this encoder's files.

    Raises:
        InputError: The folder cannot be made.
    """

    def __init__(self, folder: Path, sam: Sam, encoder: Any) -> None:
        compute = replace(default_compute(), dtype=sam.compute.dtype)
        self._sam = make_sam(sam.config, suit(compute, jax.local_devices()[0]))
        self._encoder = encoder
        self._like = _abstract_embedding(self._sam, encoder)
        self._files = KeptArrays(
            folder / _identify(sam, encoder),
            f"an embedding takes {self.bytes_per_image / 1e6:.1f} MB an image: make room for them, or do without them "
            "(cache_embeddings)",
        )
        self.folder = self._files.folder

    @property
    def bytes_per_image(self) -> int:
        """The size of a file."""
        return count_bytes(self._like)

    def embed(self, batch: Batch) -> EmbeddedBatch:
        """Replace a batch's images by their embeddings.

        Raises:
            RunError: The disk refuses an embedding that had to be computed.
        """
        embeddings = [
            self._find(image, fitted)
            for image, fitted in zip(batch.images, batch.fitted, strict=True)
        ]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *embeddings)
        return EmbeddedBatch(stacked, batch.fitted, batch.masks, batch.valid, batch.text)

    def encode(
        self, image: UInt8[np.ndarray, "h w 3"], fitted: Int32[np.ndarray, "2"]
    ) -> ImageEmbedding:
        """Compute the embedding of a padded image, without the disk.

        Args:
            image: Padded input.
            fitted: Height and width of the photo inside it.
        """
        encoded = jax.device_get(_encode(self._model, image[None], fitted[None]))
        return jax.tree.map(lambda leaf: leaf[0], encoded)

    def embed_source(self, source: Source, indices: Sequence[int]) -> Iterator[None]:
        """Make the files of a source's images, as they are without augmentation; yields after each.

        Raises:
            RunError: The disk refuses an embedding.
        """
        frame = self._sam.config.image_encoder.image_size
        for index in indices:
            try:
                example = frame_example(
                    source[index], frame, 1, Augmentation(), np.random.default_rng()
                )
            except RecordError:
                pass  # The loader counts and names it.
            else:
                self._find(example.image, np.array(example.fitted, np.int32))
            yield

    def keep_within(self, most_bytes: int) -> None:
        """Remove the files that were not used for the longest time, until the others fit into a number of bytes."""
        self._files.keep_within(most_bytes)

    def _find(
        self, image: UInt8[np.ndarray, "h w 3"], fitted: Int32[np.ndarray, "2"]
    ) -> ImageEmbedding:
        return self._files.find(
            (image.tobytes(), fitted.tobytes()), self._like, lambda: self.encode(image, fitted)
        )

    @cached_property
    def _model(self) -> Model:
        """On a device only if there is something to encode."""
        return _to_model(self._sam, jax.device_put(self._encoder))


@jax.jit
def _encode(
    model: Model, images: UInt8[Array, "b h w 3"], fitted: Int[Array, "b 2"]
) -> ImageEmbedding:
    return encode_image(model, normalise(images, fitted))


def _abstract_embedding(sam: Sam, encoder: Any) -> PyTree[jax.ShapeDtypeStruct]:
    """The shapes and dtypes of one image's embedding."""

    def encode_one(encoder: Any) -> PyTree[Float[Array, "..."]]:
        images = np.zeros((1, *sam.config.image_encoder.image_size, 3), np.uint8)
        pixels = normalise(images, np.zeros((1, 2), np.int32))
        embeddings = encode_image(_to_model(sam, encoder), pixels)
        return jax.tree.map(lambda leaf: leaf[0], embeddings)

    return jax.eval_shape(encode_one, encoder)


def _to_model(sam: Sam, encoder: Any) -> Model:
    """A model that has nothing but its image encoder."""
    return Model(sam.config, {"params": {"image_encoder": encoder}}, sam.compute)


def _identify(sam: Sam, encoder: Any) -> str:
    """A name for all that an embedding depends on beside the image."""
    about = repr((sam.config.image_encoder, sam.config.fine, sam.compute.dtype))
    return digest_leaves(encoder, about)[:16]
