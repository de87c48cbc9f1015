"""Detectors in files: safetensors with the detector's sizes, and the image encoder that it is for."""

import os
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from sam_jax.checkpoints import conversion
from sam_jax.checkpoints.contents import read_stored
from sam_jax.checkpoints.safetensors_file import (
    describe_detector,
    read_detector_description,
    write_safetensors,
)
from sam_jax.checkpoints.tensors import digest_leaves
from sam_jax.models import DetectorConfig, abstract_detector
from sam_jax.storage import locate
from sam_jax.types import CheckpointError, Variables


class StoredDetector(NamedTuple):
    """A detector as a file has it.

    Attributes:
        config: Sizes of the detector.
        variables: Weights of the detector, as float32 NumPy arrays.
        encoder: Name of the image encoder whose embeddings the detector knows, from `name_encoder`.
    """

    config: DetectorConfig
    variables: Variables
    encoder: str


def save_detector(path: str | os.PathLike, detector: StoredDetector) -> None:
    """Write a detector to a `.safetensors` file, which appears when it is complete.

    Raises:
        InputError: The path cannot be written to.
        RunError: The disk is full or broken.
    """
    write_safetensors(
        locate(path),
        conversion.flatten(detector.variables),
        describe_detector(detector.config, detector.encoder),
    )


def load_detector(path: str | os.PathLike) -> StoredDetector:
    """Read a detector.

    Raises:
        CheckpointError: There is no such file, it is damaged, or it holds no detector.
    """
    place = locate(path)
    stored = read_stored(place)
    described = read_detector_description(place, stored.metadata)
    if described is None:
        raise CheckpointError(f"{place} holds no detector; `sam-jax engine detect` trains one")
    config, encoder = described
    if config.depth > len(stored.tensors):
        raise CheckpointError(
            f"{place} has no tensors for the {config.depth} layers that it tells of"
        )
    shapes = {
        key: leaf.shape for key, leaf in conversion.flatten(abstract_detector(config)).items()
    }
    checked = conversion.check_tensors(place, "a detector", stored.tensors, shapes)
    leaves = {key: np.asarray(leaf, np.float32) for key, leaf in checked.items()}
    return StoredDetector(config, unflatten_dict(leaves, sep="/"), encoder)


def name_encoder(params: Any) -> str:
    """A name that the weights of an image encoder have for themselves.

    Args:
        params: Parameters of a model, of which those of its image encoder count.
    """
    whole = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), params["image_encoder"])
    return digest_leaves(whole)[:32]
