"""What a folder of results was made with, so that a run that goes on doesn't mix two kinds."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sam_jax.models import Model
from sam_jax.storage import make_folder, write_json
from sam_jax.types import InputError

SETTINGS = "settings.json"


def keep_settings(output: Path, settings: dict[str, Any]) -> None:
    """Note what results are made with, or compare with what an earlier run noted.

    Args:
        output: folder of the results.
        settings: whatever they depend on, as JSON can hold it.

    Raises:
        InputError: the earlier run had others, or the folder cannot be written to.
    """
    now = json.loads(json.dumps(settings))
    path = output / SETTINGS
    if not path.exists():
        make_folder(output)
        write_json(path, now)
        return
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: delete {output}, or name another --output") from error
    other = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if other:
        raise InputError(
            f"{output} holds results made with other settings ({', '.join(other)}; see {SETTINGS}); "
            "name another --output, or delete it"
        )


def describe_model(model: Model) -> dict[str, Any]:
    """Sizes of a model, and SHA-256 over all its parameters by path."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(model.variables):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return {"model": asdict(model.config), "weights": digest.hexdigest()}
