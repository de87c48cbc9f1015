"""Loading what `sam_jax.export.stablehlo` has written, without the model's code."""

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import numpy as np
import safetensors.numpy
from jaxtyping import Array, Float, Int, UInt8
from safetensors import SafetensorError

from sam_jax.types import AnyArray, CheckpointError, InputError

FORMAT = 1
"""Version of the file's layout."""
ABOUT, WEIGHTS = "about.json", "weights.safetensors"
PARTS = ("encoder", "decoder")
"""Names of the programs that a file may hold."""
PROGRAM = "{}.jax_export"
"""Name of a program in the file, by the name of the part."""


class ExportedMasks(NamedTuple):
    """Answers to prompts.

    Attributes:
        logits: Mask logits at a quarter of the padded input's size; above 0 is the object.
        iou: Predicted IoU of each mask.
    """

    logits: Float[Array, "b n m h w"]
    iou: Float[Array, "b n m"]


class ExportedModel:
    """A model that was exported to StableHLO: its programs and its weights, on the default device.

    Args:
        about: What the file says of itself.
        programs: Program of each part by name.
        weights: Weights by name.

    Attributes:
        about: What the file says of itself.
        image_size: Height and width of the padded input in pixels.
    """

    def __init__(
        self,
        about: dict[str, Any],
        programs: dict[str, jax.export.Exported],
        weights: dict[str, np.ndarray],
    ) -> None:
        self.about = about
        self.image_size: tuple[int, int] = tuple(about["image_size"])
        self._calls = {name: jax.jit(program.call) for name, program in programs.items()}
        self._weights = {name: jax.device_put(weight) for name, weight in weights.items()}

    def encode_image(
        self, framed: UInt8[AnyArray, "b h w 3"], fitted: Int[AnyArray, "b 2"]
    ) -> Float[Array, "b c gh gw"]:
        """Image embeddings.

        Args:
            framed: Resized, padded images from `sam_jax.frame_image`, any number of them.
            fitted: Height and width of each image inside its frame.

        Raises:
            InputError: The file has no encoder, or the images have another size.
        """
        height, width = self.image_size
        if np.ndim(framed) != 4 or np.shape(framed)[1:] != (height, width, 3):
            raise InputError(
                f"images are framed to {height}x{width} pixels (h x w), of shape (b, {height}, {width}, 3), not "
                f"{np.shape(framed)}: frame_image does it"
            )
        arrays = np.asarray(framed, np.uint8), np.asarray(fitted, np.int32)
        return self._call("encoder", *arrays)

    def predict_masks(
        self,
        image_embeddings: Float[AnyArray, "b c gh gw"],
        points: Float[AnyArray, "b n p 2"],
        labels: Int[AnyArray, "b n p"],
        masks: Float[AnyArray, "b n h w"] | None = None,
    ) -> ExportedMasks:
        """Low-resolution logits and predicted IoU for every prompt of every image.

        Args:
            image_embeddings: Embeddings from `encode_image`.
            points: Points x, y in pixels of the padded input, any number of them.
            labels: A label for every point: 1 on the object, 0 beside it, 2 and 3 the corners of a box, -1 for the
                point that follows points given without a box, -2 for one that only fills up.
            masks: Low-resolution logits of earlier answers; None for no mask prompt.

        Raises:
            InputError: The file has no decoder.
        """
        b, n = np.shape(labels)[:2]
        low = (b, n, self.image_size[0] // 4, self.image_size[1] // 4)
        has_masks = np.full((b, n), masks is not None)
        arrays = (
            image_embeddings,
            np.asarray(points, np.float32),
            np.asarray(labels, np.int32),
            np.zeros(low, np.float32) if masks is None else masks,
            has_masks,
        )
        logits, iou = self._call("decoder", *arrays)
        return ExportedMasks(logits, iou)

    def _call(self, part: str, *arrays: Any) -> Any:
        if part not in self._calls:
            raise InputError(
                f"the file has no {part}: export it with --part both, or with --part {part}"
            )
        return self._calls[part](self._weights, *arrays)


def load_exported(path: str | os.PathLike[str]) -> ExportedModel:
    """Load a model from a `.stablehlo` file that `sam-jax export` has written.

    The model's code takes no part: the programs are in the file. They run on CPUs, GPUs of NVIDIA and TPUs.

    Args:
        path: The file.

    Raises:
        CheckpointError: The file is absent, damaged, or of another kind or version.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no such file: {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if ABOUT not in names:
                raise CheckpointError(f"{path} is no file of `sam-jax export`")
            about = json.loads(archive.read(ABOUT))
            if about.get("format") != FORMAT:
                raise CheckpointError(
                    f"{path} has version {about.get('format')} of the format, and this sam_jax reads version "
                    f"{FORMAT}: export the checkpoint again"
                )
            programs = {
                part: archive.read(PROGRAM.format(part))
                for part in PARTS
                if PROGRAM.format(part) in names
            }
            weights = safetensors.numpy.load(archive.read(WEIGHTS))
    except (
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        ValueError,
        SafetensorError,
        OSError,
    ) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path} is damaged, or no .stablehlo file of `sam-jax export`: {error}"
        ) from error
    return ExportedModel(
        about, {part: _read(path, code) for part, code in programs.items()}, weights
    )


def _read(path: Path, code: bytes) -> jax.export.Exported:
    try:
        return jax.export.deserialize(bytearray(code))
    except Exception as error:  # JAX raises what comes first
        raise CheckpointError(
            f"{path} cannot be read by JAX {jax.__version__}, perhaps since another version has written it: {error}"
        ) from error
