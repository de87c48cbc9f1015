"""Settings of a folder of results, so that a resumed run doesn't mix results of different settings."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sam_jax.checkpoints.tensors import digest_leaves
from sam_jax.models import Model
from sam_jax.models.clip import ClipModel
from sam_jax.storage import make_folder, refuse_endless, write_json
from sam_jax.types import InputError

SETTINGS = "settings.json"
"""Name of the file of settings."""


def keep_settings(output: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a run into its folder, or compare them with those of an earlier run.

    Args:
        output: Folder of the results. It is made where it is missing.
        settings: Everything that the results depend on, as JSON can hold it.

    Raises:
        InputError: The earlier run had other settings, or the folder cannot be written to.
        RunError: The disk is full or broken.
    """
    now = json.loads(json.dumps(settings))
    path = output / SETTINGS
    if not path.exists():
        make_folder(output)
        write_json(path, now)
        return
    before = read_settings(path)
    other = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if other:
        raise InputError(
            f"{output} holds results made with other settings ({', '.join(other)}; see {SETTINGS}); "
            "name another --output, or delete it"
        )


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of an earlier run.

    Raises:
        InputError: The file cannot be read, or holds no settings.
    """
    try:
        refuse_endless(path)
        settings = json.loads(path.read_text())
        if isinstance(settings, dict):
            return settings
    except (OSError, ValueError, RecursionError):
        pass
    raise InputError(f"{path} is damaged: delete {path.parent}, or name another --output")


def describe_model(model: Model | ClipModel) -> dict[str, Any]:
    """The configuration of a model, and the SHA-256 digest of all its parameters in the order of their paths."""
    return {"model": asdict(model.config), "weights": digest_leaves(model.variables)}
