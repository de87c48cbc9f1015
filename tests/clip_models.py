"""Small CLIPs of `transformers`, and small vocabularies."""

import json
import re
import warnings

import jax
import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from sam_jax.models.clip import (
    ClipConfig,
    ClipImageConfig,
    ClipModel,
    ClipTextConfig,
    ClipTokeniser,
    init_clip,
)

SMALL = ClipConfig(
    text=ClipTextConfig(
        width=32, depth=2, num_heads=4, mlp_width=48, context=12, vocabulary=100, end_of_text=99
    ),
    image=ClipImageConfig(
        width=24, depth=2, num_heads=3, mlp_width=40, image_size=(24, 40), patch_size=8
    ),
    width=20,
)
"""A CLIP whose images are wider than high."""


def make_clip(seed: int = 0, *, text=None, image=None, width: int = 20) -> transformers.CLIPModel:
    """A model none of whose weights vanish."""
    text_config = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "vocab_size": 100,
        "max_position_embeddings": 12,
        "bos_token_id": 98,
        "eos_token_id": 99,
        **(text or {}),
    }
    image_config = {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 40,
        "image_size": 32,
        "patch_size": 8,
        **(image or {}),
    }
    model = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=text_config, vision_config=image_config, projection_dim=width
        )
    ).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not weight.ndim:
                continue
            fan_in = weight[0].numel() if weight.ndim in (2, 4) else 25
            weight.copy_(torch.randn(weight.shape) / fan_in**0.5)
            if "norm" in name and name.endswith("weight"):
                weight.add_(1)
    return model


def openai_state(model: transformers.CLIPModel) -> dict[str, torch.Tensor]:
    """The tensors as OpenAI has them: other names, projections transposed, queries, keys and values in one."""
    theirs, state = model.state_dict(), {}
    for name, tensor in theirs.items():
        if ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            parts = [theirs[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
            tensor = torch.cat(parts)
        if name.endswith("_projection.weight"):
            tensor = tensor.T.contiguous()
        for pattern, public in _OPENAI:
            name = re.sub(pattern, public, name)
        state[name] = tensor
    return state


_OPENAI = (
    (r"^text_model\.embeddings\.token_embedding", "token_embedding"),
    (r"^text_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"^vision_model\.embeddings\.class_embedding", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.position_embedding\.weight", "visual.positional_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding", "visual.conv1"),
    (r"^vision_model\.pre_layrnorm", "visual.ln_pre"),
    (r"^vision_model\.post_layernorm", "visual.ln_post"),
    (r"^text_model\.final_layer_norm", "ln_final"),
    (r"^text_model\.encoder\.layers", "transformer.resblocks"),
    (r"^vision_model\.encoder\.layers", "visual.transformer.resblocks"),
    (r"^visual_projection\.weight", "visual.proj"),
    (r"^text_projection\.weight", "text_projection"),
    (r"self_attn\.q_proj\.(weight|bias)", r"attn.in_proj_\1"),
    (r"self_attn\.out_proj", "attn.out_proj"),
    (r"layer_norm(\d)", r"ln_\1"),
    (r"mlp\.fc1", "mlp.c_fc"),
    (r"mlp\.fc2", "mlp.c_proj"),
)


class Plain(torch.nn.Module):
    """A module that only holds tensors and others of its kind."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def save_script(path, state: dict[str, torch.Tensor]) -> None:
    """Write a state dict as OpenAI does: a TorchScript archive of float16, with its sizes beside the weights."""
    root = Plain()
    sizes = {"input_resolution": 336, "context_length": 77, "vocab_size": 49408}
    for name, tensor in [*state.items(), *((key, torch.tensor(n)) for key, n in sizes.items())]:
        module, *inner = root, *name.split(".")
        for part in inner[:-1]:
            if part not in dict(module.named_children()):
                module.add_module(part, Plain())
            module = module.get_submodule(part)
        if tensor.is_floating_point():
            module.register_parameter(inner[-1], torch.nn.Parameter(tensor.half()))
        else:
            module.register_buffer(inner[-1], tensor)
    with warnings.catch_warnings(action="ignore"):  # scripts are going to be replaced
        torch.jit.script(root.eval()).save(str(path))


def learn_words(lines: list[str], size: int = 700) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary and the merges of byte pairs that some lines give, in CLIP's form."""
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [line.lower() for line in lines],
        trainers.BpeTrainer(
            vocab_size=size,
            initial_alphabet=alphabet,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    # As in CLIP: each byte, each byte as the end of a word, what is merged, and the two words of start and end.
    letters = sorted(alphabet)
    parts = [*letters, *(f"{letter}</w>" for letter in letters)]
    parts = list(dict.fromkeys([*parts, *("".join(pair) for pair in merges)]))
    return {
        part: index for index, part in enumerate([*parts, "<|startoftext|>", "<|endoftext|>"])
    }, merges


def make_clip_model(config: ClipConfig) -> ClipModel:
    """A CLIP with random weights, without words."""
    return ClipModel(config, init_clip(config))


def make_colour_clip() -> ClipModel:
    """A CLIP whose weights are set by hand: it knows red, green and blue, by the mean colour of the patches it sees."""
    words, merges = learn_words(["red green blue thing"] * 5)
    colours = {"red": (1, -0.5, -0.5), "green": (-0.5, 1, -0.5), "blue": (-0.5, -0.5, 1)}
    config = ClipConfig(
        text=ClipTextConfig(
            width=8, depth=1, num_heads=1, mlp_width=1, context=12, vocabulary=len(words)
        ),
        image=ClipImageConfig(
            width=8, depth=1, num_heads=1, mlp_width=1, image_size=(32, 32), patch_size=4
        ),
        width=3,
    )
    variables = jax.tree.map(np.zeros_like, init_clip(config))
    params = variables["params"]
    # Colours without their grey and with their opposites, of mean 0; two large numbers keep the norms from
    # making much of little.
    opposite = np.zeros((3, 8), np.float32)
    opposite[:, :3] = np.eye(3) - 1 / 3
    opposite[:, 3:6] = -opposite[:, :3]
    large = np.array([0, 0, 0, 0, 0, 0, 4, -4], np.float32)
    for tower in (params["text"], params["image"]):
        block = tower["blocks_0"]
        for norm in (block["norm1"], block["norm2"], tower["norm"]):
            norm["scale"][:] = 1
        # Attention is uniform, of the values themselves.
        block["attn"]["qkv"]["kernel"][:, 16:] = np.eye(8)
        block["attn"]["proj"]["kernel"][:] = np.eye(8)
        tower["proj"]["kernel"][:3] = np.eye(3)
        tower["pos_embed"][:] = large
    params["image"]["norm_pre"]["scale"][:] = 1
    params["image"]["patch_embed"]["kernel"][:] = opposite / 16
    for colour, numbers in colours.items():
        params["text"]["token_embed"][words[f"{colour}</w>"]] = np.array(numbers) @ opposite
    return ClipModel(config, variables, tokeniser=ClipTokeniser(words, merges, context=12))
