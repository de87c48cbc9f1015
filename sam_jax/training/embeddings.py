"""Embeddings of images on disk, for training with a frozen encoder: computed once, and read from then on.

An embedding's file is named by what it depends on: a folder by the encoder's sizes, precision and weights, and in it
the file by the pixels. So runs can share them, and whatever changes gets files of its own.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Int, Int32, UInt8

from sam_jax.data.augmentation import Augmentation
from sam_jax.data.example import Batch, RecordError, Source
from sam_jax.data.framing import normalise
from sam_jax.data.transforms import frame_example
from sam_jax.models import Model, Sam, default_compute, encode_image, make_sam
from sam_jax.storage import atomic_file, make_folder, remove_leftovers
from sam_jax.types import ImageEmbedding, RunError


class EmbeddedBatch(NamedTuple):
    """A `Batch` of embeddings instead of images.

    Attributes:
        embeddings: of the images.
        fitted, masks, valid: as in `Batch`.
    """

    embeddings: ImageEmbedding
    fitted: Int32[np.ndarray, "b 2"]
    masks: Bool[np.ndarray, "b n h_low w_low"]
    valid: Bool[np.ndarray, "b n"]


class Embeddings:
    """What an encoder makes of images.

    Images are encoded one by one, so that an embedding doesn't depend on what else is in the batch.

    Args:
        folder: for the files of any number of encoders.
        sam: the model without weights.
        encoder: the image encoder's parameters, in the memory of this machine.

    Attributes:
        folder: of this encoder's files.

    Raises:
        InputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, sam: Sam, encoder: Any) -> None:
        self._sam = make_sam(sam.config, replace(default_compute(), dtype=sam.compute.dtype))
        self._encoder = encoder
        self._parts = self._describe()
        self.folder = folder / _identify(sam, encoder)
        make_folder(self.folder)
        remove_leftovers(self.folder)

    @property
    def bytes_per_image(self) -> int:
        """Size of a file."""
        return sum(part.size * part.dtype.itemsize for part in jax.tree.leaves(self._parts))

    def embed(self, batch: Batch) -> EmbeddedBatch:
        """Replace a batch's images by their embeddings.

        Raises:
            RunError: The disk is full or broken.
        """
        embeddings = [
            self._find(image, fitted)
            for image, fitted in zip(batch.images, batch.fitted, strict=True)
        ]
        stacked = jax.tree.map(lambda *parts: np.stack(parts), *embeddings)
        return EmbeddedBatch(stacked, batch.fitted, batch.masks, batch.valid)

    def embed_source(self, source: Source, indices: Sequence[int]) -> Iterator[None]:
        """Make the files of a source's images, as they are without augmentation; yields after each.

        Raises:
            RunError: The disk is full or broken.
        """
        frame = self._sam.config.image_encoder.image_size
        for index in indices:
            try:
                example = frame_example(
                    source[index], frame, 1, Augmentation(), np.random.default_rng()
                )
            except RecordError:
                pass  # the loader counts and names it
            else:
                self._find(example.image, np.array(example.fitted, np.int32))
            yield

    def _find(
        self, image: UInt8[np.ndarray, "h w 3"], fitted: Int32[np.ndarray, "2"]
    ) -> ImageEmbedding:
        name = hashlib.blake2b(image.tobytes() + fitted.tobytes(), digest_size=16).hexdigest()
        path = self.folder / name
        if path.is_file() and path.stat().st_size == self.bytes_per_image:
            return self._take_apart(path.read_bytes())
        embedding = _encode(self._model, image[None], fitted[None])
        embedding = jax.tree.map(lambda part: np.asarray(part)[0], embedding)
        self._write(path, embedding)
        return embedding

    def _take_apart(self, content: bytes) -> ImageEmbedding:
        parts, start = [], 0
        for part in jax.tree.leaves(self._parts):
            values = np.frombuffer(content, part.dtype, part.size, start)
            parts.append(values.reshape(part.shape))
            start += values.nbytes
        return jax.tree.unflatten(jax.tree.structure(self._parts), parts)

    def _describe(self) -> Any:
        """Shapes and dtypes of an embedding's parts."""
        height, width = self._sam.config.image_encoder.image_size
        image = jax.ShapeDtypeStruct((1, height, width, 3), np.uint8)
        fitted = jax.ShapeDtypeStruct((1, 2), np.int32)
        encoder = {"params": {"image_encoder": self._encoder}}
        whole = jax.eval_shape(
            _encode, Model(self._sam.config, encoder, self._sam.compute), image, fitted
        )
        return jax.tree.map(lambda part: jax.ShapeDtypeStruct(part.shape[1:], part.dtype), whole)

    @cached_property
    def _model(self) -> Model:
        """On a device only if there is something to encode."""
        variables = {"params": {"image_encoder": jax.device_put(self._encoder)}}
        return Model(self._sam.config, variables, self._sam.compute)

    def _write(self, path: Path, embedding: ImageEmbedding) -> None:
        try:
            with atomic_file(path) as file:
                file.writelines(part.tobytes() for part in jax.tree.leaves(embedding))
        except RunError as error:
            raise RunError(
                f"{error}; an embedding takes {self.bytes_per_image / 1e6:.1f} MB an image: "
                "make room for them, or do without them (cache_embeddings)"
            ) from error


@jax.jit
def _encode(
    model: Model, images: UInt8[Array, "b h w 3"], fitted: Int[Array, "b 2"]
) -> ImageEmbedding:
    embeddings = encode_image(model, normalise(images, fitted))
    return jax.tree.map(lambda part: part.astype(model.compute.jax_dtype), embeddings)


def _identify(sam: Sam, encoder: Any) -> str:
    """Of all that an embedding depends on beside the image."""
    digest = hashlib.sha256(
        repr((sam.config.image_encoder, sam.config.fine, sam.compute.dtype)).encode()
    )
    for path, leaf in jax.tree.leaves_with_path(encoder):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]
