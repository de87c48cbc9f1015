"""Which parameters train, how fast, and which decay: rules over their paths.

A path leads from the root of the tree of parameters to a leaf: image_encoder/blocks_3/attn/qkv/kernel.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax

from sam_jax.types import InputError

_BLOCK = re.compile(r"image_encoder/blocks_(\d+)/")
_ANY_BLOCK = re.compile(r"(^|/)blocks_\d+/")
_KERNEL_OF_MLP = re.compile(r"(?P<mlp>.*)/layers_(?P<index>\d+)/kernel")
_WITHOUT_HIDDEN_LAYERS = ("prompt_encoder/", "mask_decoder/output_upscaling/")


def map_paths(function: Callable[[str], Any], params: Any) -> Any:
    """A tree like that of the parameters, of the function's results for their paths."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: function(jax.tree_util.keystr(path, simple=True, separator="/")), params
    )


def find_frozen(params: Any, patterns: Sequence[str]) -> Any:
    """A tree of booleans: True where a pattern fits the parameter's path, and the parameter stays as it is.

    Args:
        params: The tree of parameters; its leaves do not matter.
        patterns: Patterns as of file names (`fnmatch`), whose * also goes across slashes: image_encoder/*, *_embed.

    Raises:
        InputError: A pattern fits nothing, or nothing is left to train.
    """
    check_patterns("frozen", patterns, params)
    frozen = map_paths(lambda path: any(fnmatchcase(path, p) for p in patterns), params)
    if all(jax.tree.leaves(frozen)):
        raise InputError(f"frozen: {', '.join(map(repr, patterns))} leave no parameter to train")
    return frozen


def check_patterns(name: str, patterns: Sequence[str], params: Any) -> None:
    """Check that each pattern fits the path of a parameter.

    Args:
        name: The setting that the patterns come from, for the message.
        patterns: Patterns of paths, as of `find_frozen`.
        params: The tree of parameters; its leaves do not matter.

    Raises:
        InputError: A pattern fits nothing.
    """
    paths = jax.tree.leaves(map_paths(str, params))
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in paths):
            raise InputError(f"{name}: no parameter fits {pattern!r}{_suggest(pattern, paths)}")


def _suggest(pattern: str, paths: Sequence[str]) -> str:
    """The folder or leaf that is most like the pattern, or the folders at the top."""
    stem = pattern.strip("*").rstrip("/")
    pieces = {path.rsplit("/", cut)[0] for path in paths for cut in range(path.count("/") + 1)}
    close = difflib.get_close_matches(stem, sorted(pieces), n=1, cutoff=0.5)
    if not close:
        tops = sorted({path.split("/")[0] for path in paths})
        return f"; they are in {', '.join(f'{top}/*' for top in tops)}"
    return f"; did you mean {close[0] if close[0] in paths else close[0] + '/*'}?"


def pick_trainable(params: Any, frozen: Any) -> Any:
    """The tree with None in place of what is frozen."""
    return jax.tree.map(lambda is_frozen, leaf: None if is_frozen else leaf, frozen, params)


def put_back(trainable: Any, params: Any) -> Any:
    """The tree `params` with the leaves that `trainable` has in place of its own; undoes `pick_trainable`."""
    return jax.tree.map(
        lambda trained, leaf: leaf if trained is None else trained,
        trainable,
        params,
        is_leaf=lambda leaf: leaf is None,
    )


def layer_factor(path: str, depth: int, decay: float) -> float:
    """Factor of a parameter's learning rate: `decay` to the power of the parameter's distance from the neck.

    The last encoder block is at distance 1, the first at `depth`. Patch embedding, positions and whatever else of the
    encoder the first block builds on are one further. The neck and everything outside the encoder is at 0.

    Source: [ViTDet, Li et al. 2022](https://arxiv.org/abs/2203.16527), appendix A.2, after BEiT.

    Args:
        path: The parameter's path.
        depth: Number of encoder blocks.
        decay: Factor from one block to the one before it, in (0, 1]; 1 for the same rate everywhere.

    >>> layer_factor("image_encoder/blocks_11/norm1/scale", depth=12, decay=0.8)
    0.8
    >>> layer_factor("mask_decoder/iou_token", depth=12, decay=0.8)
    1.0
    """
    if block := _BLOCK.match(path):
        return decay ** (depth - int(block[1]))
    if path.startswith("image_encoder/") and not path.startswith("image_encoder/neck/"):
        return decay ** (depth + 1)
    return 1.0


def is_in_block(path: str) -> bool:
    """Whether a parameter is of a transformer's block, of an image encoder or of a masked autoencoder's decoder."""
    return _ANY_BLOCK.search(path) is not None


def is_decayed(path: str) -> bool:
    """Whether weight decay concerns a parameter: kernels only; no biases, norms, positions or learned tokens."""
    return path.endswith("/kernel")


def find_hidden(params: Any) -> Any:
    """A tree of booleans: True for kernels that lead to a hidden layer, which are those that Muon wants.

    False for everything that is no kernel, and for kernels that lead to an output: those of the prompt encoder, of the
    upscaling of masks, and of the last layer of each MLP (`sam_jax.models.layers.TokenMLP`), however deep it is.

    Args:
        params: The tree of parameters, or a part of it with None in place of other leaves.
    """
    whole = jax.tree.map(lambda _: True, params, is_leaf=lambda leaf: leaf is None)
    last: dict[str, int] = {}
    for path in jax.tree.leaves(map_paths(str, whole)):
        if layer := _KERNEL_OF_MLP.fullmatch(path):
            last[layer["mlp"]] = max(last.get(layer["mlp"], 0), int(layer["index"]))

    def is_hidden(path: str) -> bool:
        if not is_decayed(path) or path.startswith(_WITHOUT_HIDDEN_LAYERS):
            return False
        layer = _KERNEL_OF_MLP.fullmatch(path)
        return layer is None or int(layer["index"]) < last[layer["mlp"]]

    return map_paths(is_hidden, params)
