"""Training configurations as files keep them, and in what two of them differ."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from sam_jax.training.config import RunSettings

_FREE_TO_CHANGE = ("execution", "reporting")


def describe_config(config: RunSettings) -> dict[str, Any]:
    """The configuration as a tree of what JSON knows."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def find_differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The settings on which the result of a run depends and in which two descriptions differ, one text for each.

    Args:
        before: A description, from `describe_config`.
        now: Another one.
    """

    def flatten(node: Any, path: str = "") -> dict[str, Any]:
        items: Sequence[tuple[Any, Any]] = []
        if isinstance(node, dict):
            items = list(node.items())
        elif isinstance(node, list) and any(isinstance(item, dict) for item in node):
            items = list(enumerate(node))
        if not items:
            return {path: node}
        flat = {}
        for key, item in items:
            flat |= flatten(item, f"{path}.{key}" if path else str(key))
        return flat

    flat_before, flat_now = (
        flatten({key: item for key, item in tree.items() if key not in _FREE_TO_CHANGE})
        for tree in (before, now)
    )
    missing = "not set"
    return [
        f"{name} was {flat_before.get(name, missing)} and is now {flat_now.get(name, missing)}"
        for name in sorted({*flat_before, *flat_now})
        if flat_before.get(name, missing) != flat_now.get(name, missing)
    ]
