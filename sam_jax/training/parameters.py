"""Which parameters train, how fast, and which decay: rules over their paths.

A path is what stands between the root of the tree of parameters and a leaf: image_encoder/blocks_3/attn/qkv/kernel.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax

from sam_jax.types import InputError

_BLOCK = re.compile(r"image_encoder/blocks_(\d+)/")
_NOT_HIDDEN = ("prompt_encoder/", "mask_decoder/output_upscaling/")
_ENCODER, _NECK = "image_encoder/", "image_encoder/neck/"


def map_paths(function: Callable[[str], Any], params: Any) -> Any:
    """A tree like that of the parameters, of what a function makes of each path."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: function(jax.tree_util.keystr(path, simple=True, separator="/")), params
    )


def find_frozen(params: Any, patterns: Sequence[str]) -> Any:
    """A tree of what is frozen, True where a pattern fits the path.

    Args:
        params: the tree of parameters; leaves don't matter.
        patterns: as of file names (`fnmatch`), where * also goes across slashes: image_encoder/*, *_embed.

    Raises:
        InputError: a pattern fits nothing, or nothing is left to train.
    """
    check_patterns("frozen", patterns, params)
    frozen = map_paths(lambda path: any(fnmatchcase(path, p) for p in patterns), params)
    if all(jax.tree.leaves(frozen)):
        raise InputError(f"frozen: {', '.join(map(repr, patterns))} leave no parameter to train")
    return frozen


def check_patterns(name: str, patterns: Sequence[str], params: Any) -> None:
    """That each pattern of what `name` configures fits a path.

    Raises:
        InputError: one fits nothing.
    """
    paths = jax.tree.leaves(map_paths(str, params))
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in paths):
            raise InputError(f"{name}: no parameter fits {pattern!r}{_suggest(pattern, paths)}")


def _suggest(pattern: str, paths: Sequence[str]) -> str:
    """Every folder and leaf could have been meant, with the pattern's own wildcards at its ends."""
    stem = pattern.strip("*").rstrip("/")
    pieces = {path.rsplit("/", cut)[0] for path in paths for cut in range(path.count("/") + 1)}
    close = difflib.get_close_matches(stem, sorted(pieces), n=1, cutoff=0.5)
    if not close:
        tops = sorted({path.split("/")[0] for path in paths})
        return f"; they are in {', '.join(f'{top}/*' for top in tops)}"
    return f"; did you mean {close[0] if close[0] in paths else close[0] + '/*'}?"


def pick_trainable(params: Any, frozen: Any) -> Any:
    """The tree with None in place of what is frozen."""
    return jax.tree.map(lambda leaf, is_frozen: None if is_frozen else leaf, params, frozen)


def put_back(trainable: Any, params: Any) -> Any:
    """The tree with trained leaves in place of its own; the opposite of `pick_trainable`."""
    return jax.tree.map(
        lambda trained, leaf: leaf if trained is None else trained,
        trainable,
        params,
        is_leaf=lambda leaf: leaf is None,
    )


def layer_factor(path: str, depth: int, decay: float) -> float:
    """What a parameter's learning rate is multiplied by: `decay` to the power of its distance from the neck.

    The last block is at distance 1, the first at `depth`, what the blocks take in (patch embedding, positions) one
    further; everything else is at 0 (ViTDet, Li et al. 2022, after BEiT).

    Args:
        path: of the parameter.
        depth: blocks of the image encoder.
        decay: in (0, 1]; 1 for the same rate everywhere.

    >>> layer_factor("image_encoder/blocks_11/norm1/scale", depth=12, decay=0.8)
    0.8
    >>> layer_factor("mask_decoder/iou_token", depth=12, decay=0.8)
    1.0
    """
    if not path.startswith(_ENCODER) or path.startswith(_NECK):
        return 1.0
    block = _BLOCK.match(path)
    return decay ** (depth - int(block[1]) if block else depth + 1)


def is_decayed(path: str) -> bool:
    """Whether weight decay concerns a parameter: kernels only; no biases, norms, positions or learned tokens."""
    return path.endswith("/kernel")


def is_hidden(path: str) -> bool:
    """Whether a kernel leads from one hidden layer to another, or from pixels to the first, as Muon wants it."""
    return is_decayed(path) and not path.startswith(_NOT_HIDDEN) and "/layers_2/" not in path
