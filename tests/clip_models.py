"""Small CLIPs of `transformers`, and small vocabularies."""

import json

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from sam_jax.models.clip import ClipConfig, ClipImageConfig, ClipTextConfig

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


def learn_words(lines: list[str], size: int = 700) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary and the merges of byte pairs that some lines give, in CLIP's form."""
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
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
