"""Finding a Segment Anything among the tensors of a file, whatever its training script called it."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from sam_jax.checkpoints.tensors import Tensor, Tensors

_PARTS = "image_encoder|vision_encoder|prompt_encoder|mask_decoder|shared_image_embedding"
_NAME = re.compile(rf"(|.*?[./])((?:{_PARTS})[./].+)")
_WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""What `torch.compile` and PyTorch's ways of running in parallel put between the names of modules."""
_HARMLESS = re.compile(r"(.*\.)?(pixel_mean|pixel_std|total_ops|total_params|n_averaged)")
"""Constants of preprocessing, and what tools count: operations, weights, averaged models."""


class Origin(NamedTuple):
    """What was taken from a file of weights, and what was not.

    Attributes:
        prefix: What stands in the file before the names of the model's tensors, such as "state_dict/model."; a slash
            stands behind the key of a dictionary.
        left_out: Other contents of the file, such as "optimizer" or "args (argparse.Namespace)".
    """

    prefix: str = ""
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        taken = f"the weights lie under {self.prefix}" if self.prefix else ""
        left = f"not used: {', '.join(self.left_out)}" if self.left_out else ""
        return "; ".join(filter(None, (taken, left)))


def select(tensors: Tensors, others: Iterable[str] = ()) -> tuple[dict[str, Tensor], Origin]:
    """The tensors of a Segment Anything by the names they have there, official ones or Hugging Face's.

    Of several models of a file, the one with the most tensors is taken, and of equal ones the first. A tensor beside
    the model's that isn't known to be harmless stays among them: it may change what the model computes.

    Args:
        tensors: All tensors of a file; slashes in a name stand behind keys of nested dictionaries.
        others: What else the file holds.
    """
    found: dict[
        str, tuple[str, str]
    ] = {}  # names in the file: prefix and the rest, without wrappers
    for name in tensors:
        if match := _NAME.fullmatch(unwrap(name)):
            found[name] = match[1], match[2].replace("/", ".")
    counts = Counter(prefix for prefix, _ in found.values())
    if not counts:
        return dict(tensors), Origin("", tuple(others))
    prefix = max(counts, key=lambda prefix: counts[prefix])
    taken, left = {}, []
    for name, tensor in tensors.items():
        within, rest = found.get(name, (None, ""))
        if within is None and _is_beside(name, prefix):
            within, rest = prefix, unwrap(name).removeprefix(prefix)
        if within == prefix and rest not in taken and not _HARMLESS.fullmatch(rest):
            taken[rest] = tensor
        else:
            left.append(name)
    return taken, Origin(_raw_prefix(found, prefix), (*summarise_names(left, prefix), *others))


def _is_beside(name: str, prefix: str) -> bool:
    """Whether a tensor lies in the dictionary, and under the prefix, of the model's tensors."""
    unwrapped = unwrap(name)
    return unwrapped.startswith(prefix) and "/" not in unwrapped.removeprefix(prefix)


def unwrap(name: str) -> str:
    """The name without what `torch.compile` and PyTorch's ways of running in parallel put into it."""
    folder, slash, key = name.rpartition("/")
    return folder + slash + ".".join(part for part in key.split(".") if part not in _WRAPPERS)


def _raw_prefix(found: dict[str, tuple[str, str]], prefix: str) -> str:
    """The prefix as the first of the model's tensors has it, with its wrappers."""
    first = next(name for name, (within, _) in found.items() if within == prefix)
    match = _NAME.fullmatch(first)
    return match[1] if match else prefix


def summarise_names(names: Iterable[str], prefix: str) -> list[str]:
    """The tensors that were left out, told by what they have in common."""
    folder = prefix[: prefix.rfind("/") + 1]
    told = []
    for name in names:
        start = next((start for start in (prefix, folder) if unwrap(name).startswith(start)), "")
        first = re.split(r"[./]", unwrap(name).removeprefix(start), maxsplit=1)[0]
        told.append(first if start == prefix else start + first)
    return list(dict.fromkeys(told))
