"""Small masked autoencoders of `transformers`, and their weights under the public names."""

import re

import torch
import transformers

_NAMES = (
    (r"^vit\.embeddings\.position_embeddings", "pos_embed"),
    (r"^vit\.embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"^vit\.embeddings\.", ""),
    (r"^vit\.layers", "blocks"),
    (r"^decoder\.decoder_layers", "decoder_blocks"),
    (r"^vit\.layernorm", "norm"),
    (r"^decoder\.", ""),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"attention\.o_proj", "attn.proj"),
)


def make_model(seed: int = 0, **sizes) -> transformers.ViTMAEForPreTraining:
    """A model none of whose weights vanish."""
    config = transformers.ViTMAEConfig(
        **{
            "hidden_size": 24,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
            "intermediate_size": 72,
            "image_size": 64,
            "decoder_num_attention_heads": 2,
            "decoder_hidden_size": 16,
            "decoder_num_hidden_layers": 2,
            "decoder_intermediate_size": 32,
            "layer_norm_eps": 1e-6,
            "norm_pix_loss": True,
            **sizes,
        }
    )
    model = transformers.ViTMAEForPreTraining(config).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            fan_in = weight[0].numel() if weight.ndim in (2, 4) else 25
            weight.copy_(torch.randn(weight.shape) / fan_in**0.5)
            if "norm" in name and name.endswith("weight"):
                weight.add_(1)
    return model


def public_state(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors as the authors' files have them: other names, and queries, keys and values in one."""
    state = {}
    for name, tensor in tensors.items():
        for pattern, public in _NAMES:
            name = re.sub(pattern, public, name)
        state[name] = tensor
    for name in [name for name in state if ".attention.q_proj." in name]:
        parts = [state.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        state[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
    return state
