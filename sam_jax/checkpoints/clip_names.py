"""How CLIP's tensors are called here, by OpenAI, and by Hugging Face."""

import os
import re
from collections.abc import Iterable

from sam_jax.checkpoints.names import Naming
from sam_jax.types import CheckpointError

_OPENAI_BLOCKS = (
    ("norm1", "ln_1", "norm"),
    ("norm2", "ln_2", "norm"),
    ("attn/qkv", "attn", "joined"),
    ("attn/proj", "attn.out_proj", "linear"),
    ("mlp/lin1", "mlp.c_fc", "linear"),
    ("mlp/lin2", "mlp.c_proj", "linear"),
)
_HUGGING_FACE_BLOCKS = (
    ("norm*", "layer_norm*", "norm"),
    ("attn/qkv", "self_attn.qkv_proj", "linear"),
    ("attn/proj", "self_attn.out_proj", "linear"),
    ("mlp/lin*", "mlp.fc*", "linear"),
)


def _in_blocks(rows: Iterable[tuple[str, str, str]], stem: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((f"blocks_*/{ours}", f"{stem}.*.{theirs}", kind) for ours, theirs, kind in rows)


_BESIDE_TOWERS = (
    ("logit_scale", "logit_scale", "scalar"),
    ("logit_bias", "logit_bias", "scalar"),
    ("prompt_shift", "prompt_shift", "vector"),
)

OPENAI_CLIP_NAMES = Naming(
    {
        "params/text": (
            ("token_embed", "token_embedding", "embeddings"),
            ("pos_embed", "positional_embedding", "table"),
            *_in_blocks(_OPENAI_BLOCKS, "transformer.resblocks"),
            ("norm", "ln_final", "norm"),
            ("proj", "text_projection", "matrix"),
        ),
        "params/image": (
            ("class_token", "visual.class_embedding", "vector"),
            ("pos_embed", "visual.positional_embedding", "table"),
            ("patch_embed", "visual.conv1", "conv"),
            ("norm_pre", "visual.ln_pre", "norm"),
            *_in_blocks(_OPENAI_BLOCKS, "visual.transformer.resblocks"),
            ("norm", "visual.ln_post", "norm"),
            ("proj", "visual.proj", "matrix"),
        ),
        "params": _BESIDE_TOWERS,
    },
    has_prefix=False,
)
"""CLIP as OpenAI published it."""
HUGGING_FACE_CLIP_NAMES = Naming(
    {
        "params/text": (
            ("token_embed", "text_model.embeddings.token_embedding", "embeddings"),
            ("pos_embed", "text_model.embeddings.position_embedding", "embeddings"),
            *_in_blocks(_HUGGING_FACE_BLOCKS, "text_model.encoder.layers"),
            ("norm", "text_model.final_layer_norm", "norm"),
            ("proj", "text_projection", "linear"),
        ),
        "params/image": (
            ("class_token", "vision_model.embeddings.class_embedding", "vector"),
            ("pos_embed", "vision_model.embeddings.position_embedding", "embeddings"),
            ("patch_embed", "vision_model.embeddings.patch_embedding", "conv"),
            ("norm_pre", "vision_model.pre_layrnorm", "norm"),  # spelt so
            *_in_blocks(_HUGGING_FACE_BLOCKS, "vision_model.encoder.layers"),
            ("norm", "vision_model.post_layernorm", "norm"),
            ("proj", "visual_projection", "linear"),
        ),
        "params": _BESIDE_TOWERS,
    },
    has_prefix=False,
)
"""CLIP of Hugging Face, after its queries, keys and values have become one, `qkv_proj`."""

_SIGNS = {
    r"(?:visual[./](?:conv1|class_embedding|proj|ln_pre)|token_embedding)(?:[./]weight)?": "OpenAI",
    r"(?:text_model[./]embeddings|vision_model[./]embeddings)[./].+": "Hugging Face",
}
_SIGN = {form: re.compile(rf"(?P<prefix>|.*[./]){pattern}") for pattern, form in _SIGNS.items()}


def find_clip_prefix(names: Iterable[str]) -> tuple[str, str] | None:
    """Whose names a file's CLIP has, "OpenAI" or "Hugging Face", and what stands before them; None without a CLIP."""
    names = list(names)
    for form, sign in _SIGN.items():
        prefixes = [match["prefix"] for name in names if (match := sign.fullmatch(name))]
        if len(prefixes) > 1:
            return form, prefixes[0]
    return None


def refuse_clip(source: str | os.PathLike) -> CheckpointError:
    """The error that says that a CLIP is no Segment Anything, and what it is good for."""
    return CheckpointError(
        f"{source} holds a CLIP, not a Segment Anything: it makes sense of phrases, as in "
        f"sam-jax generate PHOTO --text PHRASE --clip {source}"
    )
