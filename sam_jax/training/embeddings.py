"""Image embeddings on disk, for training with a frozen encoder: computed once, and read from then on.

The file of an embedding is named by what the embedding depends on: its folder by the encoder's sizes, precision and
weights, and in it the file by the pixels. So runs can share the files, and whatever changes gets files of its own.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, PyTree, UInt8

from sam_jax.checkpoints.tensors import digest_leaves
from sam_jax.data.augmentation import Augmentation
from sam_jax.data.example import Batch, RecordError, Source
from sam_jax.data.framing import normalise
from sam_jax.data.transforms import frame_example
from sam_jax.models import Model, Sam, default_compute, encode_image, make_sam, suit
from sam_jax.storage import atomic_file, make_folder, remove_leftovers
from sam_jax.types import ImageEmbedding, RunError


class EmbeddedBatch(NamedTuple):
    """A `Batch` with image embeddings in place of images.

    Attributes:
        embeddings: Image embeddings, as `encode_image` returns them: one array, or several.
        fitted: Height and width of each photo inside its padded input, in pixels.
        masks: Truth at the size of low-resolution logits.
        valid: Whether a mask is real; the others only fill up the batch.
    """

    embeddings: ImageEmbedding
    fitted: Int32[np.ndarray, "b 2"]
    masks: Bool[np.ndarray, "b n h_low w_low"]
    valid: Bool[np.ndarray, "b n"]


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
        self.folder = folder / _identify(sam, encoder)
        make_folder(self.folder)
        remove_leftovers(self.folder)

    @property
    def bytes_per_image(self) -> int:
        """The size of a file."""
        return sum(map(_count_bytes, jax.tree.leaves(self._like)))

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
        return EmbeddedBatch(stacked, batch.fitted, batch.masks, batch.valid)

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
        files = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process removes them, too
                about = path.stat()
                files.append((about.st_mtime, about.st_size, path))
        surplus = sum(size for _, size, _ in files) - most_bytes
        for _, size, path in sorted(files):
            if surplus <= 0:
                break
            path.unlink(missing_ok=True)
            surplus -= size

    def _find(
        self, image: UInt8[np.ndarray, "h w 3"], fitted: Int32[np.ndarray, "2"]
    ) -> ImageEmbedding:
        name = hashlib.blake2b(image.tobytes() + fitted.tobytes(), digest_size=16).hexdigest()
        path = self.folder / name
        with suppress(FileNotFoundError):
            content = path.read_bytes()
            if len(content) == self.bytes_per_image:
                # Of a file that somebody else owns, or in a bucket, the age stays.
                with suppress(OSError):
                    path.touch()
                return self._unpack(content)
        embedding = self.encode(image, fitted)
        self._write(path, b"".join(leaf.tobytes() for leaf in jax.tree.leaves(embedding)))
        return embedding

    def _unpack(self, content: bytes) -> ImageEmbedding:
        """The arrays that lie behind one another in a file."""
        arrays, offset = [], 0
        for leaf in jax.tree.leaves(self._like):
            flat = np.frombuffer(content, leaf.dtype, math.prod(leaf.shape), offset)
            arrays.append(flat.reshape(leaf.shape))
            offset += _count_bytes(leaf)
        return jax.tree.unflatten(jax.tree.structure(self._like), arrays)

    @cached_property
    def _model(self) -> Model:
        """On a device only if there is something to encode."""
        return _to_model(self._sam, jax.device_put(self._encoder))

    def _write(self, path: Path, content: bytes) -> None:
        try:
            with atomic_file(path) as file:
                file.write(content)
        except RunError as error:
            raise RunError(
                f"{error}; an embedding takes {self.bytes_per_image / 1e6:.1f} MB an image: "
                "make room for them, or do without them (cache_embeddings)"
            ) from error


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


def _count_bytes(leaf: jax.ShapeDtypeStruct) -> int:
    return math.prod(leaf.shape) * leaf.dtype.itemsize


def _identify(sam: Sam, encoder: Any) -> str:
    """A name for all that an embedding depends on beside the image."""
    about = repr((sam.config.image_encoder, sam.config.fine, sam.compute.dtype))
    return digest_leaves(encoder, about)[:16]
