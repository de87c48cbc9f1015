"""Compiled programs in files, so that what was compiled on one machine runs on another."""

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable

from sam_jax.storage import atomic_file
from sam_jax.types import InputError


def save_program(path: Path, parts: tuple[bytes, Any, Any]) -> None:
    """Write a compiled program to a file.

    Args:
        path: The file.
        parts: The program, and the trees of its arguments and results, from
            `jax.experimental.serialize_executable.serialize`.
    """
    with atomic_file(path) as unfinished:
        unfinished.write(pickle.dumps((jax.__version__, *parts)))


def load_program(path: Path, devices: Sequence[Any] | None = None) -> Callable[..., Any]:
    """Load a compiled program that runs without compiling.

    The file is a pickle, which can run any code: load only what you have written yourself.

    Args:
        path: The file, from `sam-jax plan --keep`.
        devices: Devices to run on, as many and of the same kind as those that it was compiled for; the default is all.

    Returns:
        The program: a function of the arguments that it was compiled for.

    Raises:
        InputError: There is no such file, another version of JAX wrote it, or it is for other devices.
    """
    devices = jax.devices() if devices is None else devices
    try:
        version, payload, inputs, outputs = pickle.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{path} is no compiled program: {error}") from error
    if version != jax.__version__:
        raise InputError(f"{path} was compiled by JAX {version}, and this is {jax.__version__}")
    try:
        return serialize_executable.deserialize_and_load(
            payload, inputs, outputs, execution_devices=devices
        )
    except (RuntimeError, ValueError, KeyError) as error:  # the last if there are too few devices
        raise InputError(
            f"{path} was compiled for other devices than these, {len(devices)} × {devices[0].device_kind}"
        ) from error
