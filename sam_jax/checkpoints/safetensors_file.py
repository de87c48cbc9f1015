"""safetensors files: any, read tensor by tensor; and ours, which hold the model's sizes beside its weights.

The library's own writer wants all tensors in memory at once, so writing is done here: a length, a JSON header, bytes.
"""

import dataclasses
import json
import math
import os
import struct
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from sam_jax.checkpoints.tensors import LazyTensor, Tensors
from sam_jax.models import DetectorConfig, MaeConfig, SamConfig
from sam_jax.storage import atomic_file
from sam_jax.types import CheckpointError, InputError

DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_FORMAT = "sam_jax"
_MAE = "masked_autoencoder"
_DETECTOR, _ENCODER = "detector", "image_encoder"


def read_safetensors(path: Path) -> tuple[dict[str, LazyTensor], dict[str, str]]:
    """Tensors that are read when they are asked for, and the file's metadata.

    Raises:
        CheckpointError: The file is truncated, damaged, or has a dtype that no weights have.
    """
    try:
        with safe_open(path, framework="np") as file:
            tensors = {name: _describe(path, name, file) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: truncated or damaged ({error})") from error


def _describe(path: Path, name: str, file: Any) -> LazyTensor:
    about = file.get_slice(name)
    if about.get_dtype() not in DTYPES:
        raise CheckpointError(f"{path}: {name} is {about.get_dtype()}, no dtype of weights")

    def read() -> np.ndarray:
        # Opened each time: pages of the file stay in memory as long as it is open.
        with safe_open(path, framework="np") as file:
            return file.get_tensor(name)

    return LazyTensor(tuple(about.get_shape()), DTYPES[about.get_dtype()], read)


def write_safetensors(path: Path, tensors: Tensors, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file that appears when it is complete; one tensor is in memory at a time.

    Raises:
        CheckpointError: The format has no such dtype.
        InputError: The path cannot be written to.
        RunError: The disk is full or broken.
    """
    codes = {dtype: code for code, dtype in DTYPES.items()}
    # The widest first, so that all lie aligned.
    names = sorted(tensors, key=lambda name: (-np.dtype(tensors[name].dtype).itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        shape, dtype = tuple(tensors[name].shape), np.dtype(tensors[name].dtype)
        if dtype not in codes:
            raise CheckpointError(f"cannot write {path}: {name} is {dtype}, no dtype of weights")
        start, end = end, end + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        header[name] = {"dtype": codes[dtype], "shape": shape, "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with atomic_file(path, is_durable=True) as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name in names:
            values = np.ascontiguousarray(tensors[name])
            file.write(values.reshape(-1).view(np.uint8).data)


def describe(config: SamConfig) -> dict[str, str]:
    """Metadata of our own files."""
    return {"format": _FORMAT, "config": json.dumps(dataclasses.asdict(config))}


def read_description(path: str | os.PathLike, metadata: Mapping[str, str]) -> SamConfig | None:
    """The sizes that `describe` stored; None in a file that isn't ours.

    Raises:
        CheckpointError: The stored sizes are impossible, or a later version wrote more of them than are known here.
    """
    if metadata.get("format") != _FORMAT:
        return None
    return _read_config(path, SamConfig, metadata.get("config"))


def describe_mae(config: MaeConfig) -> dict[str, str]:
    """Metadata of a masked autoencoder, whose file is otherwise like anyone's."""
    return {"format": "pt", _MAE: json.dumps(dataclasses.asdict(config))}


def read_mae_description(path: str | os.PathLike, metadata: Mapping[str, str]) -> MaeConfig | None:
    """The sizes that `describe_mae` stored; None in a file that isn't ours.

    Raises:
        CheckpointError: The stored sizes are impossible, or a later version wrote more of them than are known here.
    """
    return _read_config(path, MaeConfig, metadata[_MAE]) if _MAE in metadata else None


def describe_detector(config: DetectorConfig, encoder: str) -> dict[str, str]:
    """Metadata of a detector for the image encoder of a name."""
    return {_DETECTOR: json.dumps(dataclasses.asdict(config)), _ENCODER: encoder}


def read_detector_description(
    path: str | os.PathLike, metadata: Mapping[str, str]
) -> tuple[DetectorConfig, str] | None:
    """What `describe_detector` stored; None in a file that holds no detector.

    Raises:
        CheckpointError: The stored sizes are impossible, or a later version wrote more of them than are known here.
    """
    if _DETECTOR not in metadata:
        return None
    return _read_config(path, DetectorConfig, metadata[_DETECTOR]), metadata.get(_ENCODER, "")


def _read_config(path: str | os.PathLike, kind: Any, text: str | None) -> Any:
    try:
        return _parse(kind, json.loads(text or ""))
    except InputError as error:
        raise CheckpointError(f"{path}: its stored configuration is wrong: {error}") from error
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"{path}: its stored configuration is damaged ({error})") from error


def _parse(kind: Any, value: Any) -> Any:
    """A value of a configuration's type from JSON, which has no tuples."""
    if isinstance(kind, types.UnionType):  # of one type with None
        (kind,) = set(typing.get_args(kind)) - {types.NoneType}
        if value is None:
            return None
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise TypeError(
                f"{value!r} is not the settings of a {typing.cast(type, kind).__name__}"
            )
        hints = typing.get_type_hints(kind)
        if unknown := set(value) - set(hints):
            raise CheckpointError(
                f"unknown {', '.join(sorted(unknown))}; a later version of sam_jax may have written it"
            )
        return typing.cast(type, kind)(**{key: _parse(hints[key], v) for key, v in value.items()})
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} is not a list")
        kinds = typing.get_args(kind)
        kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        return tuple(_parse(k, v) for k, v in zip(kinds, value, strict=True))
    if (kind is bool) != isinstance(value, bool) or not isinstance(
        value, (int, float) if kind is float else kind
    ):
        raise TypeError(f"{value!r} is not {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return kind(value)
