"""Finding a plain vision transformer among the tensors of a file: a masked autoencoder, ViTDet, DINO, an image encoder.

Their names are those of the public masked autoencoder, `blocks.0.mlp.fc1.weight`, or Hugging Face's, old or new.
"""

import os
import re
from typing import NamedTuple

from sam_jax.checkpoints.names import official_names, rename
from sam_jax.checkpoints.selection import unwrap
from sam_jax.checkpoints.tensors import Tensor, Tensors, join_rows
from sam_jax.types import CheckpointError

_START = re.compile(
    r"(|.*?[./])(?:vit\.)?(?:patch_embed\.proj|embeddings\.patch_embeddings\.projection)\.weight"
)
_PARTS_OF_SAM = re.compile(r"(.*[./])?(prompt_encoder|(sam_)?mask_decoder)[./].*")
_STEMS = (
    ("encoder.layer", "blocks"),
    ("layers", "blocks"),
    ("decoder.decoder_layers", "decoder_blocks"),
    ("decoder.decoder_encoder.layer", "decoder_blocks"),
)
"""How Hugging Face has called the blocks, over its versions."""
_IN_BLOCK = (
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("attention.attention.query", "attn.q"),
    ("attention.attention.key", "attn.k"),
    ("attention.attention.value", "attn.v"),
    ("attention.q_proj", "attn.q"),
    ("attention.k_proj", "attn.k"),
    ("attention.v_proj", "attn.v"),
    ("attention.output.dense", "attn.proj"),
    ("attention.o_proj", "attn.proj"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
    ("mlp.fc*", "mlp.fc*"),
    ("norm*", "norm*"),
    ("layer_scale*", "ls*"),
)
_ROWS = (
    ("blocks.*.mlp.lin*.*", "blocks.*.mlp.fc*.*"),  # as Segment Anything calls them
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"),
    ("embeddings.**", "**"),  # register tokens and the like
    ("layernorm.*", "norm.*"),
    ("decoder.mask_token", "mask_token"),
    ("decoder.decoder_pos_embed", "decoder_pos_embed"),
    ("decoder.decoder_embed.*", "decoder_embed.*"),
    ("decoder.decoder_norm.*", "decoder_norm.*"),
    ("decoder.decoder_pred.*", "decoder_pred.*"),
    *(
        (f"{stem}.*.{theirs}.*", f"{blocks}.*.{public}.*")
        for stem, blocks in _STEMS
        for theirs, public in _IN_BLOCK
    ),
)


class PlainVit(NamedTuple):
    """A plain vision transformer.

    Attributes:
        tensors: Tensors by public names; queries, keys and values are one, `blocks.0.attn.qkv.weight`.
        sources: Names in the file of each of those tensors.
        prefix: What stands in the file before their names.
    """

    tensors: dict[str, Tensor]
    sources: dict[str, tuple[str, ...]]
    prefix: str

    @property
    def depth(self) -> int:
        """Number of the encoder's blocks."""
        return len({name.split(".")[1] for name in self.tensors if name.startswith("blocks.")})

    @property
    def kind(self) -> str:
        """What it is, with its article."""
        modules = {name.split(".")[0] for name in self.tensors}
        if modules & {"decoder_blocks", "decoder_embed"}:
            return "a masked autoencoder"
        if modules & {"head", "classifier", "fc_norm"}:
            return "a ViT with the head of a classifier"
        if "neck" in modules:
            return "the image encoder of a Segment Anything alone"
        return "a plain ViT, such as a masked autoencoder's encoder"


def find_vit(tensors: Tensors) -> PlainVit | None:
    """The plain vision transformer among the tensors of a file; None if there is none, or a Segment Anything.

    Of several the one with the most tensors is taken, and of equal ones the first.

    Args:
        tensors: Tensors by the names in the file; slashes in a name stand behind keys of nested dictionaries.
    """
    if any(map(_PARTS_OF_SAM.fullmatch, tensors)):
        return None
    names = dict(zip(tensors, official_names(map(unwrap, tensors)).values(), strict=True))
    prefixes = [match[1] for name in names.values() if (match := _START.fullmatch(name))]
    if not prefixes:
        return None
    prefix = max(
        prefixes, key=lambda prefix: sum(name.startswith(prefix) for name in names.values())
    )
    renamed = {
        rename(name.removeprefix(prefix).removeprefix("vit."), _ROWS): raw
        for raw, name in names.items()
        if name.startswith(prefix)
    }
    sources: dict[str, tuple[str, ...]] = {name: (raw,) for name, raw in renamed.items()}
    found: dict[str, Tensor] = {name: tensors[raw] for name, raw in renamed.items()}
    for name in [name for name in found if ".attn.q." in name]:
        joined = [name.replace(".attn.q.", f".attn.{part}.") for part in "qkv"]
        if all(part in found for part in joined):
            parts = [found.pop(part) for part in joined]
            whole = name.replace(".attn.q.", ".attn.qkv.")
            found[whole] = join_rows(parts)
            sources[whole] = tuple(sources.pop(part)[0] for part in joined)
    return PlainVit(found, sources, prefix)


def refuse_as_sam(source: str | os.PathLike, vit: PlainVit) -> CheckpointError:
    """The error that says that a file holds no whole Segment Anything, and what it is good for."""
    return CheckpointError(
        f"{source} holds {vit.kind}, not a Segment Anything: training can start from it, "
        f"sam-jax train CONFIG --start-from {source}"
    )
