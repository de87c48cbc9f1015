"""Which Segment Anything a file holds, told from the names and shapes of its tensors."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sam_jax.models import (
    TINY,
    VIT_B,
    VIT_H,
    VIT_L,
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
)

VARIANTS = {"vit_b": VIT_B, "vit_l": VIT_L, "vit_h": VIT_H, "tiny": TINY}
_BLOCK = r"image_encoder\.blocks\.(\d+)\..+"
_RELATIVES = {
    r"mask_decoder\.(hf_token|hf_mlp|hq_token|hq_mask_mlp)\.": "SAM-HQ",
    r"(image|vision)_encoder\.(trunk|backbone)\.blocks\.|sam_mask_decoder\.|memory_attention\.": "SAM 2",
    r"image_encoder\.patch_embed\.seq\.|image_encoder\.layers\.0\.blocks\.": "MobileSAM",
    r"prompt_encoder\.(invalid_points|bbox_top_left_embeddings)\.": "EfficientSAM",
    r"image_encoder\.(fuse_stage2|features\.0)\.": "EdgeSAM or RepViT-SAM",
    r"image_encoder\.backbone\.(input_stem|stages)\.": "EfficientViT-SAM",
}
"""Models that are built after Segment Anything, by tensors that they alone have."""
Shapes = Mapping[str, tuple[int, ...]]


def name_variant(config: SamConfig) -> str:
    """What people call the model, whatever its input size and thresholds; its width and depth if it has no name."""
    if config.prompt_encoder.text_width is not None:
        prompt_encoder = replace(config.prompt_encoder, text_width=None)
        return f"{name_variant(replace(config, prompt_encoder=prompt_encoder))} with text prompts"
    for name, variant in VARIANTS.items():
        whole = variant.with_image_size(config.image_encoder.image_size)
        whole = replace(whole, automatic=config.automatic)
        if whole == config:
            return name
        if replace(whole, fine=None) == config:
            return f"{name} without additions"
    return f"SAM of width {config.image_encoder.width} and depth {config.image_encoder.depth}"


def name_relative(names: Iterable[str]) -> str | None:
    """The published model, other than Segment Anything, that has tensors of these names; None if none is known."""
    text = "\n".join(names)
    for pattern, relative in _RELATIVES.items():
        if re.search(rf"(?m)(^|[./])({pattern})", text):
            return relative
    return None


def read_patch_size(shapes: Shapes) -> int | None:
    """Side in pixels of the patches that the file's patch embedding is made for."""
    match shapes.get("image_encoder.patch_embed.proj.weight"):
        case (_, _, _, int() as patch):
            return patch
    return None


def read_image_size(shapes: Shapes) -> tuple[int, int] | None:
    """(h, w) in pixels that the file's positional table is made for."""
    match shapes.get("image_encoder.pos_embed"), read_patch_size(shapes):
        case (1, int() as rows, int() as columns, _), int() as patch if rows and columns:
            return rows * patch, columns * patch
    return None


def candidates(shapes: Shapes) -> list[SamConfig]:
    """What the file may hold: first what its own shapes add up to, last the variant with a name that is nearest.

    Args:
        shapes: Shapes of the tensors by official name.
    """
    depth = _count(shapes, _BLOCK)
    nearest = replace(
        min(VARIANTS.values(), key=lambda v: abs(v.image_encoder.depth - depth)), fine=None
    )
    image_size = read_image_size(shapes)
    nearest = nearest.with_image_size(image_size) if image_size else nearest
    try:
        measured = _measure(shapes)
        return [_whole(measured), nearest]
    except (LookupError, ValueError, TypeError, ArithmeticError):
        return [nearest]  # what tells the sizes is damaged; the comparison will show where


def _whole(config: SamConfig) -> SamConfig:
    """The variant with a name of which this is the beginning, if blocks at the end are missing; else the same."""
    encoder = config.image_encoder
    for variant in VARIANTS.values():
        whole = replace(variant.with_image_size(encoder.image_size), fine=None)
        cut = replace(whole.image_encoder, depth=encoder.depth, global_blocks=encoder.global_blocks)
        if (
            encoder.depth < whole.image_encoder.depth
            and replace(whole, image_encoder=cut) == config
        ):
            return whole
    return config


def _measure(shapes: Shapes) -> SamConfig:
    image_size = read_image_size(shapes)
    if image_size is None:
        raise LookupError("no positional table")
    width, _, patch_size, _ = shapes["image_encoder.patch_embed.proj.weight"]
    out_channels = shapes["image_encoder.neck.0.weight"][0]
    hidden_width = shapes["image_encoder.blocks.0.mlp.lin1.weight"][0]
    head_width = next((shape[1] for key, shape in shapes.items() if ".attn.rel_pos_" in key), 0)
    depth = _count(shapes, _BLOCK)
    grid = image_size[0] // patch_size, image_size[1] // patch_size
    window_size, global_blocks = _find_global_blocks(shapes, depth, grid)
    head = "mask_decoder.iou_prediction_head.layers"
    return SamConfig(
        image_encoder=ImageEncoderConfig(
            image_size=image_size,
            patch_size=patch_size,
            width=width,
            depth=depth,
            num_heads=width // head_width,
            mlp_ratio=_divide(hidden_width, width),
            window_size=window_size,
            global_blocks=global_blocks,
            out_channels=out_channels,
        ),
        prompt_encoder=PromptEncoderConfig(
            width=shapes["prompt_encoder.not_a_point_embed.weight"][1],
            mask_channels=shapes["prompt_encoder.mask_downscaling.3.weight"][0],
            text_width=shapes.get("prompt_encoder.text_projection.weight", (0, None))[1],
        ),
        # The number of the decoder's heads leaves no trace; every SAM has the default.
        mask_decoder=MaskDecoderConfig(
            width=shapes["mask_decoder.iou_token.weight"][1],
            depth=_count(shapes, r"mask_decoder\.transformer\.layers\.(\d+)\..+"),
            mlp_width=shapes["mask_decoder.transformer.layers.0.mlp.lin1.weight"][0],
            iou_head_depth=_count(shapes, re.escape(head) + r"\.(\d+)\..+"),
            iou_head_width=shapes[f"{head}.0.weight"][0],
            num_multimask_outputs=shapes["mask_decoder.mask_tokens.weight"][0] - 1,
        ),
    )


def _divide(hidden_width: int, width: int) -> float:
    """A ratio that gives the hidden width back when it is cut to an integer."""
    ratio = hidden_width / width
    return ratio if int(width * ratio) == hidden_width else math.nextafter(ratio, math.inf)


def _count(shapes: Shapes, pattern: str) -> int:
    return len({found[1] for found in map(re.compile(pattern).fullmatch, shapes) if found})


def _find_global_blocks(
    shapes: Shapes, depth: int, grid: tuple[int, int]
) -> tuple[int, tuple[int, ...]]:
    """Window size, and the blocks whose relative positions reach over the whole grid.

    Where a window is as large as the grid, both kinds of block have the same tables and compute the same; then the
    paper's rule decides: four global blocks at equal distances.
    """
    global_lengths = tuple(2 * side - 1 for side in grid)
    window_lengths = Counter()
    global_blocks = []
    for block in range(depth):
        tables = [shapes.get(f"image_encoder.blocks.{block}.attn.rel_pos_{axis}") for axis in "hw"]
        lengths = [table[0] if table else None for table in tables]
        fits = [found in (None, side) for found, side in zip(lengths, global_lengths, strict=True)]
        if all(fits):
            global_blocks.append(block)
        else:
            window_lengths.update(filter(None, lengths))
    if window_lengths:
        return (window_lengths.most_common(1)[0][0] + 1) // 2, tuple(global_blocks)
    if grid[0] != grid[1]:
        return max(grid), tuple(global_blocks)
    return grid[0], tuple((quarter * depth) // 4 - 1 for quarter in range(1, 5) if depth >= 4)
