"""What a PyTorch file holds: tensors inside dictionaries inside dictionaries, and other things beside them."""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from sam_jax.checkpoints.torch_records import LONGEST_NAME, Foreign, TensorRecord, printable
from sam_jax.types import CheckpointError

_DEEPEST = 8
_NAMES_SHOWN = 3


class Entries(NamedTuple):
    """What the value of a pickle holds.

    Attributes:
        tensors: Tensors by the keys that lead to them, joined by slashes.
        others: Outermost keys under which no tensor was found, with the names of foreign objects in brackets.
    """

    tensors: dict[str, TensorRecord]
    others: tuple[str, ...]


def collect(value: Any) -> Entries:
    """Find the tensors in dictionaries, however deep; what lies in lists or in foreign objects is passed over.

    Raises:
        CheckpointError: There is no tensor; the message lacks the file's name.
    """
    tensors = dict(_walk(value)) if isinstance(value, dict) else {}
    if not tensors:
        found = list(dict.fromkeys(_foreign_names(value)))[:_NAMES_SHOWN]
        objects = f" but objects of {', '.join(found)}; nothing was run" if found else ""
        raise CheckpointError(
            f"holds no state dict{objects}; load it in PyTorch, if you trust where it comes from, and save the "
            "state_dict alone"
        )
    used = {name.split("/")[0] for name in tensors}
    others = [
        key[:LONGEST_NAME] + (f" ({content.name})" if isinstance(content, Foreign) else "")
        for key, content in ((printable(str(key)), content) for key, content in value.items())
        if key not in used
    ]
    return Entries(tensors, tuple(others))


def _walk(value: dict[Any, Any]) -> Iterator[tuple[str, TensorRecord]]:
    waiting = deque([("", value)])
    # A pickle can put one dictionary in many places, and those in many; once is enough.
    seen = {id(value)}
    while waiting:
        path, content = waiting.popleft()
        for name, inner in content.items():
            key = printable(str(name))
            if isinstance(inner, TensorRecord):
                yield f"{path}{key}", inner
            elif isinstance(inner, dict) and id(inner) not in seen and path.count("/") < _DEEPEST:
                seen.add(id(inner))
                waiting.append((f"{path}{key}/", inner))


def _foreign_names(value: Any) -> Iterator[str]:
    waiting: deque[Any] = deque([[value]])
    seen = set()
    while waiting:
        content = waiting.popleft()
        if isinstance(content, Foreign):
            yield content.name
            continue
        for inner in content.values() if isinstance(content, dict) else content:
            if isinstance(inner, Foreign | dict | list | tuple) and id(inner) not in seen:
                seen.add(id(inner))
                waiting.append(inner)
