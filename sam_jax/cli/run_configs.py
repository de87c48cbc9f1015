"""Configs of training runs: finding and reading their files, and replacing single settings."""

import ast
import dataclasses
import difflib
import runpy
import traceback
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sam_jax
from sam_jax.training.config import TrainConfig
from sam_jax.types import InputError

SHIPPED = Path(sam_jax.__file__).parents[1] / "experiments" / "configs"


def read_config(name: str) -> tuple[str, TrainConfig]:
    """A config by its file or by the name of a shipped one; with its name.

    Raises:
        InputError: no such file, it fails, or it defines no `config`.
    """
    path = Path(name)
    if path.suffix != ".py" and not path.exists():
        path = SHIPPED / f"{name}.py"
    if not path.is_file():
        shipped = sorted(p.stem for p in SHIPPED.glob("[!_]*.py"))
        close = difflib.get_close_matches(Path(name).stem, shipped, n=1)
        known = f"did you mean {close[0]}?" if close else f"there are {', '.join(shipped)}"
        raise InputError(
            f"no config {name}: give a Python file, or the name of a shipped one; {known}"
        )
    try:
        config = runpy.run_path(str(path)).get("config")
    except Exception as error:
        raise InputError(f"{path}{_line_of(error, path)}: {error}") from error
    if not isinstance(config, TrainConfig):
        raise InputError(f"{path} defines no `config`, which is a sam_jax.training.TrainConfig")
    return path.stem, config


def _line_of(error: Exception, path: Path) -> str:
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def override(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """Replace settings given as text: optimiser.rate=1e-4, data.sources.0.weight=2, frozen=('image_encoder/*',).

    Raises:
        InputError: no such setting, or a value that it cannot have.
    """
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InputError(
                f"{setting}: a setting has the form name=value, like optimiser.rate=1e-4"
            )
        config = _replace(config, name.split("."), text, name)
    return config


def _replace(node: Any, keys: list[str], text: str, name: str) -> Any:
    key, *deeper = keys
    if isinstance(node, tuple):
        if not key.isdecimal() or int(key) >= len(node):
            raise InputError(f"{name}: {key} is not the number of an entry, 0 to {len(node) - 1}")
        index = int(key)
        if not deeper:
            raise InputError(f"{name} has several settings: name one of them, like {name}.weight")
        return (*node[:index], _replace(node[index], deeper, text, name), *node[index + 1 :])
    if not dataclasses.is_dataclass(node):
        raise InputError(f"{name}: there is nothing named {key} inside a {type(node).__name__}")
    known = {field.name for field in dataclasses.fields(node)}
    if key not in known:
        close = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.4)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
        raise InputError(f"{name}: no setting named {key}; {hint}")
    if deeper:
        value = _replace(getattr(node, key), deeper, text, name)
    else:
        value = _parse(typing.get_type_hints(type(node))[key], text, name)
    try:
        return dataclasses.replace(node, **{key: value})  # pyright: ignore[reportArgumentType]
    except InputError as error:
        raise InputError(f"{name}={text}: {error}" if not deeper else str(error)) from error


def _parse(kind: Any, text: str, name: str) -> Any:
    if kind is str:
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if type(value) is int and not _fits(value, kind):
        value = float(value)
    if not _fits(value, kind):
        raise InputError(f"{name}={text}: {_describe(kind)} is expected")
    return value


def _fits(value: Any, kind: Any) -> bool:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return value in inner
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(kinds) == len(value) and all(map(_fits, value, kinds))
    return type(value) is kind


def _describe(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(map(str, typing.get_args(kind)))
    return str(getattr(kind, "__name__", kind)).replace("NoneType", "None")
