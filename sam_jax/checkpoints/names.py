"""How the same tensor is called and laid out here, in official PyTorch files, and in Hugging Face's.

`OFFICIAL` is the whole translation between our paths and official keys (of which published files have no
`text_projection`), and `MAE` that of the masked autoencoder;
`HUGGING_FACE` renames Hugging Face's keys to official ones, whose layouts they share. In a row, `*` stands for the same
text on both sides, without separators, and `**` for any rest.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

LEAVES = {
    "linear": {"kernel": ("io", "weight", "oi"), "bias": ("o", "bias", "o")},
    "norm": {"scale": ("d", "weight", "d"), "bias": ("d", "bias", "d")},
    "conv": {"kernel": ("hwio", "weight", "oihw"), "bias": ("o", "bias", "o")},
    "conv 1x1": {"kernel": ("io", "weight", "oi11"), "bias": ("o", "bias", "o")},
    "conv transposed": {"kernel": ("hwio", "weight", "iohw"), "bias": ("o", "bias", "o")},
    "matrix": {"kernel": ("io", "", "io")},
    "joined": {"kernel": ("io", "in_proj_weight", "oi"), "bias": ("o", "in_proj_bias", "o")},
    "embedding": {"": ("d", "weight", "1d")},
    "embeddings": {"": ("td", "weight", "td")},
    "table": {"": ("td", "", "td")},
    "vector": {"": ("d", "", "d")},
    "scalar": {"": ("", "", "")},
    "token": {"": ("d", "", "11d")},
    "positions": {"": ("td", "", "1td")},
    "grid": {"": ("hwd", "", "1hwd")},
}
"""For each kind of module, our leaf and its axes, torch's parameter and its axes; 1 is an axis that one side lacks."""

OFFICIAL = {
    "params/image_encoder": (
        ("pos_embed", "pos_embed", "grid"),
        ("patch_embed", "patch_embed.proj", "conv"),
        ("blocks_*/norm*", "blocks.*.norm*", "norm"),
        ("blocks_*/attn/rel_pos_*", "blocks.*.attn.rel_pos_*", "table"),
        ("blocks_*/attn/qkv", "blocks.*.attn.qkv", "linear"),
        ("blocks_*/attn/proj", "blocks.*.attn.proj", "linear"),
        ("blocks_*/mlp/lin*", "blocks.*.mlp.lin*", "linear"),
        ("neck/conv1", "neck.0", "conv 1x1"),
        ("neck/norm1", "neck.1", "norm"),
        ("neck/conv2", "neck.2", "conv"),
        ("neck/norm2", "neck.3", "norm"),
    ),
    "constants/prompt_encoder": (
        ("gaussian_matrix", "pe_layer.positional_encoding_gaussian_matrix", "table"),
    ),
    "params/prompt_encoder": (
        ("background_embed", "point_embeddings.0", "embedding"),
        ("foreground_embed", "point_embeddings.1", "embedding"),
        ("top_left_embed", "point_embeddings.2", "embedding"),
        ("bottom_right_embed", "point_embeddings.3", "embedding"),
        ("not_a_point_embed", "not_a_point_embed", "embedding"),
        ("no_mask_embed", "no_mask_embed", "embedding"),
        ("mask_downscaling/conv1", "mask_downscaling.0", "conv"),
        ("mask_downscaling/norm1", "mask_downscaling.1", "norm"),
        ("mask_downscaling/conv2", "mask_downscaling.3", "conv"),
        ("mask_downscaling/norm2", "mask_downscaling.4", "norm"),
        ("mask_downscaling/conv3", "mask_downscaling.6", "conv 1x1"),
        ("text_projection", "text_projection", "linear"),
    ),
    "params/mask_decoder": (
        ("iou_token", "iou_token", "embedding"),
        ("mask_tokens", "mask_tokens", "embeddings"),
        ("transformer/layers_*/*/*_proj", "transformer.layers.*.*.*_proj", "linear"),
        ("transformer/layers_*/mlp/lin*", "transformer.layers.*.mlp.lin*", "linear"),
        ("transformer/layers_*/norm*", "transformer.layers.*.norm*", "norm"),
        ("transformer/final_*/*_proj", "transformer.final_*.*_proj", "linear"),
        ("transformer/norm_final_attn", "transformer.norm_final_attn", "norm"),
        ("output_upscaling/conv1", "output_upscaling.0", "conv transposed"),
        ("output_upscaling/norm1", "output_upscaling.1", "norm"),
        ("output_upscaling/conv2", "output_upscaling.3", "conv transposed"),
        (
            "output_hypernetworks_mlps_*/layers_*",
            "output_hypernetworks_mlps.*.layers.*",
            "linear",
        ),
        ("iou_prediction_head/layers_*", "iou_prediction_head.layers.*", "linear"),
    ),
}

_BLOCKS = (
    ("norm*", "norm*", "norm"),
    ("attn/qkv", "attn.qkv", "linear"),
    ("attn/proj", "attn.proj", "linear"),
    ("mlp/lin*", "mlp.fc*", "linear"),
)
MAE = {
    "params/encoder": (
        ("cls_token", "cls_token", "token"),
        ("patch_embed", "patch_embed.proj", "conv"),
        *((f"blocks_*/{ours}", f"blocks.*.{public}", kind) for ours, public, kind in _BLOCKS),
        ("norm", "norm", "norm"),
    ),
    "params/decoder": (
        ("embed", "decoder_embed", "linear"),
        ("mask_token", "mask_token", "token"),
        *(
            (f"blocks_*/{ours}", f"decoder_blocks.*.{public}", kind)
            for ours, public, kind in _BLOCKS
        ),
        ("norm", "decoder_norm", "norm"),
        ("pred", "decoder_pred", "linear"),
    ),
    "constants/encoder": (("pos_embed", "pos_embed", "positions"),),
    "constants/decoder": (("pos_embed", "decoder_pos_embed", "positions"),),
}
"""The masked autoencoder's rows; public names have nothing before them."""

_GAUSSIAN = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_HEAD = "mask_decoder.iou_prediction_head"
_HYPERNETWORK = "mask_decoder.output_hypernetworks_mlps.*"
TIED = {
    "shared_image_embedding.positional_embedding": "prompt_encoder.shared_embedding.positional_embedding"
}
"""Tensors that Hugging Face's model has twice."""
HUGGING_FACE = (
    # The first row that fits counts. Files hold one or both of the first two, tied.
    ("shared_image_embedding.positional_embedding", _GAUSSIAN),
    ("prompt_encoder.shared_embedding.positional_embedding", _GAUSSIAN),
    ("vision_encoder.patch_embed.projection.*", "image_encoder.patch_embed.proj.*"),
    ("vision_encoder.layers.*.layer_norm**", "image_encoder.blocks.*.norm**"),
    ("vision_encoder.layers.**", "image_encoder.blocks.**"),
    ("vision_encoder.neck.conv1.*", "image_encoder.neck.0.*"),
    ("vision_encoder.neck.layer_norm1.*", "image_encoder.neck.1.*"),
    ("vision_encoder.neck.conv2.*", "image_encoder.neck.2.*"),
    ("vision_encoder.neck.layer_norm2.*", "image_encoder.neck.3.*"),
    ("vision_encoder.pos_embed", "image_encoder.pos_embed"),
    ("prompt_encoder.point_embed.**", "prompt_encoder.point_embeddings.**"),
    ("prompt_encoder.mask_embed.conv1.*", "prompt_encoder.mask_downscaling.0.*"),
    ("prompt_encoder.mask_embed.layer_norm1.*", "prompt_encoder.mask_downscaling.1.*"),
    ("prompt_encoder.mask_embed.conv2.*", "prompt_encoder.mask_downscaling.3.*"),
    ("prompt_encoder.mask_embed.layer_norm2.*", "prompt_encoder.mask_downscaling.4.*"),
    ("prompt_encoder.mask_embed.conv3.*", "prompt_encoder.mask_downscaling.6.*"),
    ("mask_decoder.transformer.layers.*.layer_norm**", "mask_decoder.transformer.layers.*.norm**"),
    ("mask_decoder.transformer.layer_norm_**", "mask_decoder.transformer.norm_**"),
    ("mask_decoder.upscale_conv1.*", "mask_decoder.output_upscaling.0.*"),
    ("mask_decoder.upscale_layer_norm.*", "mask_decoder.output_upscaling.1.*"),
    ("mask_decoder.upscale_conv2.*", "mask_decoder.output_upscaling.3.*"),
    (f"{_HYPERNETWORK}.proj_in.*", f"{_HYPERNETWORK}.layers.0.*"),
    (f"{_HYPERNETWORK}.layers.0.*", f"{_HYPERNETWORK}.layers.1.*"),
    (f"{_HYPERNETWORK}.proj_out.*", f"{_HYPERNETWORK}.layers.2.*"),
)


class Translation(NamedTuple):
    """A tensor's name on both sides, and its axes: letters, or 1 where the other side lacks the axis."""

    path: str
    path_axes: str
    key: str
    key_axes: str


class Naming:
    """A table of rows, read in both directions.

    Args:
        sections: Rows by the section of our tree that they are of, as in `OFFICIAL`.
        has_prefix: Whether official keys begin with the name of their section.
    """

    def __init__(
        self, sections: Mapping[str, Iterable[tuple[str, str, str]]], *, has_prefix: bool
    ) -> None:
        self._rules = tuple(
            _Rule(
                "/".join(filter(None, (section, ours, leaf))),
                path_axes,
                ".".join(
                    filter(None, (section.partition("/")[2] * has_prefix, official, parameter))
                ),
                key_axes,
            )
            for section, rows in sections.items()
            for ours, official, kind in rows
            for leaf, (path_axes, parameter, key_axes) in LEAVES[kind].items()
        )
        self._paths: dict[str, Translation] = {}
        self._keys: dict[str, Translation] = {}

    def translate_path(self, path: str) -> Translation:
        """The official key for one of our paths; exactly one row names it."""
        if path not in self._paths:
            self._paths[path] = _only([rule.fill(path, rule.path) for rule in self._rules], path)
        return self._paths[path]

    def translate_key(self, key: str) -> Translation:
        """Our path for an official key; exactly one row names it."""
        if key not in self._keys:
            self._keys[key] = _only([rule.fill(key, rule.key) for rule in self._rules], key)
        return self._keys[key]


def _only(found: list[Translation | None], name: str) -> Translation:
    matches = [translation for translation in found if translation]
    if len(matches) != 1:
        raise KeyError(f"{len(matches)} rows name {name}")
    return matches[0]


class _Rule(Translation):
    """A row for one leaf; path and key still have their `*`."""

    def fill(self, name: str, pattern: str) -> Translation | None:
        match = _pattern(pattern).fullmatch(name)
        if match is None:
            return None
        return Translation(
            _fill(self.path, match), self.path_axes, _fill(self.key, match), self.key_axes
        )


SAM_NAMES = Naming(OFFICIAL, has_prefix=True)
"""Official Segment Anything."""
MAE_NAMES = Naming(MAE, has_prefix=False)
"""The public masked autoencoder."""


def translate_path(path: str) -> Translation:
    """The official key for one of our paths."""
    return SAM_NAMES.translate_path(path)


def translate_key(key: str) -> Translation:
    """Our path for an official key."""
    return SAM_NAMES.translate_key(key)


@cache
def _pattern(row: str) -> re.Pattern:
    return re.compile(re.escape(row).replace(r"\*\*", "(.+)").replace(r"\*", r"(\w+)"))


def _fill(row: str, match: re.Match) -> str:
    texts = iter(match.groups())
    return re.sub(r"\*+", lambda _: next(texts), row)


def official_names(hugging_face: Iterable[str]) -> dict[str, str]:
    """The official key for every key of Hugging Face's `SamModel`; what it doesn't have keeps its name."""
    keys = list(hugging_face)
    inner = sum(key.startswith(f"{_HEAD}.layers.") for key in keys) // 2
    rows = _hugging_face_rows(inner)
    return {key: rename(key, rows) for key in keys}


def hugging_face_names(official: Iterable[str]) -> dict[str, str]:
    """The key that Hugging Face's `SamModel` has for every official key; of tied ones the first."""
    keys = list(official)
    inner = sum(key.startswith(f"{_HEAD}.layers.") for key in keys) // 2 - 2
    rows = [(ours, theirs) for theirs, ours in _hugging_face_rows(inner)]
    return {key: rename(key, rows) for key in keys}


def _hugging_face_rows(inner: int) -> list[tuple[str, str]]:
    """All rows of `HUGGING_FACE`, with those of a head that has a number of layers between its first and its last."""
    return [
        *HUGGING_FACE,
        (f"{_HEAD}.proj_in.*", f"{_HEAD}.layers.0.*"),
        *((f"{_HEAD}.layers.{n}.*", f"{_HEAD}.layers.{n + 1}.*") for n in range(inner)),
        (f"{_HEAD}.proj_out.*", f"{_HEAD}.layers.{inner + 1}.*"),
    ]


def rename(key: str, rows: Iterable[tuple[str, str]]) -> str:
    """The name that the first fitting row, of an old and a new pattern, gives; the same where none fits."""
    for old, new in rows:
        if match := _pattern(old).fullmatch(key):
            return _fill(new, match)
    return key


def rearrange(array: np.ndarray, source: str, target: str) -> np.ndarray:
    """The array with its axes, named by `source`, in the order of `target`; a view.

    >>> rearrange(np.zeros((8, 4, 1, 1)), "oi11", "io").shape
    (4, 8)
    """
    letters = source.replace("1", "")
    array = array.squeeze(tuple(axis for axis, letter in enumerate(source) if letter == "1"))
    array = array.transpose([letters.index(letter) for letter in target if letter != "1"])
    return np.expand_dims(array, [axis for axis, letter in enumerate(target) if letter == "1"])


def rearranged_shape(shape: tuple[int, ...], source: str, target: str) -> tuple[int, ...]:
    """The shape that `rearrange` gives."""
    return rearrange(np.broadcast_to(np.int8(0), shape), source, target).shape
