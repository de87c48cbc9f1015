"""The two PyTorch implementations, built with any sizes and seeded weights, to compare with.

Weights are random but made not to vanish: what the official code initialises to zero (positional tables, biases) or one
(norms) would let mistakes pass.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
import transformers
from flax.traverse_util import flatten_dict, unflatten_dict
from torch import nn

from experiments.official import segment_anything
from sam_jax.checkpoints import SHIPPED_WEIGHTS, load_checkpoint
from sam_jax.checkpoints.conversion import leaf_shapes
from sam_jax.models import SamConfig
from sam_jax.types import Variables


def shipped_as_sam(image_size: int | None = None) -> tuple[SamConfig, Variables]:
    """Trained weights that official PyTorch takes too: the shipped ones, without what they add to SAM."""
    config, variables = load_checkpoint(SHIPPED_WEIGHTS, image_size=image_size)
    config = replace(config, fine=None)
    leaves = flatten_dict(variables, sep="/")
    return config, unflatten_dict({path: leaves[path] for path in leaf_shapes(config)}, sep="/")


def official_model(config: SamConfig, seed: int = 0) -> nn.Module:
    """The official model with the sizes of `config`, also for inputs that are not square, in evaluation mode."""
    modeling = segment_anything.modeling
    encoder, prompts, decoder = config.image_encoder, config.prompt_encoder, config.mask_decoder
    torch.manual_seed(seed)
    norm: Any = partial(nn.LayerNorm, eps=1e-6)
    model = modeling.Sam(
        modeling.ImageEncoderViT(
            img_size=encoder.image_size[0],
            patch_size=encoder.patch_size,
            embed_dim=encoder.width,
            depth=encoder.depth,
            num_heads=encoder.num_heads,
            mlp_ratio=encoder.mlp_ratio,
            out_chans=encoder.out_channels,
            norm_layer=norm,
            use_rel_pos=True,
            window_size=encoder.window_size,
            global_attn_indexes=encoder.global_blocks,
        ),
        modeling.PromptEncoder(
            embed_dim=prompts.width,
            image_embedding_size=encoder.grid,
            input_image_size=encoder.image_size,
            mask_in_chans=prompts.mask_channels,
        ),
        modeling.MaskDecoder(
            transformer_dim=decoder.width,
            transformer=modeling.TwoWayTransformer(
                depth=decoder.depth,
                embedding_dim=decoder.width,
                num_heads=decoder.num_heads,
                mlp_dim=decoder.mlp_width,
            ),
            num_multimask_outputs=decoder.num_multimask_outputs,
            iou_head_depth=decoder.iou_head_depth,
            iou_head_hidden_dim=decoder.iou_head_width,
        ),
    )
    gh, gw = encoder.grid
    model.image_encoder.pos_embed = nn.Parameter(torch.zeros(1, gh, gw, encoder.width))
    for index in encoder.global_blocks:
        attention: Any = model.image_encoder.blocks[index].attn
        attention.rel_pos_h = nn.Parameter(torch.zeros(2 * gh - 1, encoder.head_width))
        attention.rel_pos_w = nn.Parameter(torch.zeros(2 * gw - 1, encoder.head_width))
    return _disturb(model).eval()


def hugging_face_model(config: SamConfig, seed: int = 0) -> nn.Module:
    """Hugging Face's model with the sizes of `config`, whose input is square, in evaluation mode."""
    encoder, prompts, decoder = config.image_encoder, config.prompt_encoder, config.mask_decoder
    side = encoder.image_size[0]
    torch.manual_seed(seed)
    model = transformers.SamModel(
        transformers.SamConfig(
            vision_config=transformers.SamVisionConfig(
                hidden_size=encoder.width,
                num_hidden_layers=encoder.depth,
                num_attention_heads=encoder.num_heads,
                mlp_ratio=encoder.mlp_ratio,
                image_size=side,
                window_size=encoder.window_size,
                global_attn_indexes=list(encoder.global_blocks),
                output_channels=encoder.out_channels,
                num_pos_feats=prompts.width // 2,
            ).to_dict(),
            prompt_encoder_config=transformers.SamPromptEncoderConfig(
                hidden_size=prompts.width,
                image_size=side,
                mask_input_channels=prompts.mask_channels,
            ).to_dict(),
            mask_decoder_config=transformers.SamMaskDecoderConfig(
                hidden_size=decoder.width,
                num_hidden_layers=decoder.depth,
                num_attention_heads=decoder.num_heads,
                mlp_dim=decoder.mlp_width,
                iou_head_depth=decoder.iou_head_depth,
                iou_head_hidden_dim=decoder.iou_head_width,
                num_multimask_outputs=decoder.num_multimask_outputs,
            ).to_dict(),
        )
    )
    return _disturb(model).eval()


def _disturb(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.is_meta:
                continue
            if "rel_pos" in name:
                parameter.normal_(std=0.3)
            elif "pos_embed" in name:
                parameter.normal_(std=0.5)
            elif parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model
