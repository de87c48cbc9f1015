"""Configs of training runs: those of `sam_jax.configs`, and Python files of users."""

import difflib
import importlib
import os
import pkgutil
import runpy
import traceback
from pathlib import Path
from typing import NamedTuple

import sam_jax.configs
from sam_jax.training.config import RunSettings
from sam_jax.types import InputError


class RunConfig(NamedTuple):
    """A training run that has a name.

    Attributes:
        name: Name of the module or file that defines the run.
        description: The docstring of that module or file; empty where there is none.
        config: Training configuration of the run.
    """

    name: str
    description: str
    config: RunSettings


def list_run_configs() -> list[str]:
    """Names of the runs that come with the package."""
    return [module.name for module in pkgutil.iter_modules(sam_jax.configs.__path__)]


def find_run_config(name: str) -> RunConfig:
    """Find a run by its name in `sam_jax.configs`, or by the path of a Python file that defines `config`.

    Raises:
        InputError: There is no such run or file, the file fails, or it defines no `config`.
    """
    if name.endswith(".py"):
        return _read_file(Path(name))
    names = list_run_configs()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
        raise InputError(
            f"no config {name}: after `train` comes a Python file or the name of a config; {hint}"
        )
    module = importlib.import_module(f"sam_jax.configs.{name}")
    return RunConfig(name, module.__doc__ or "", module.config)


def _read_file(path: Path) -> RunConfig:
    if not os.path.isfile(path):
        raise InputError(f"no such file: {path}")
    try:
        names = runpy.run_path(str(path))
    except Exception as error:
        raise InputError(f"{path}{_line_of(error, path)}: {error}") from error
    config = names.get("config")
    if not isinstance(config, RunSettings):
        raise InputError(
            f"{path} defines no `config`, which is a TrainConfig, PretrainConfig, DetectionConfig or PhraseConfig of "
            "sam_jax.training"
        )
    return RunConfig(path.stem, names.get("__doc__") or "", config)


def _line_of(error: Exception, path: Path) -> str:
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""
