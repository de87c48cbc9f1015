"""CLIP of full size against that of `transformers`: `python -m experiments.clip_parity`.

Both have the same random weights, none of which vanishes, by way of a Hugging Face folder. It takes 6 GB of memory, 2
GB of disk and minutes. `tests/parity/test_clip.py` does the same for small models, and for OpenAI's archives.
"""

import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
import transformers

from sam_jax.checkpoints import load_clip, name_clip, save_clip
from sam_jax.models.clip import CLIP_VIT_L_14_336, Clip, ClipModel, init_clip


def main() -> None:
    """Print the largest differences of features."""
    draw = np.random.default_rng(0)
    config = CLIP_VIT_L_14_336
    variables = jax.tree.map(
        lambda leaf: (
            leaf + np.float32(0.2) * draw.standard_normal(leaf.shape, np.float32)
            if leaf.ndim == 1
            else leaf
        ),
        init_clip(config),
    )
    with tempfile.TemporaryDirectory() as folder:
        save_clip(Path(folder), ClipModel(config, variables))
        del variables
        clip = load_clip(folder, with_words=False)
        theirs: Any = transformers.CLIPModel.from_pretrained(folder).eval()
    print(name_clip(clip.config), f"{theirs.num_parameters():,} parameters")
    tokens = draw.integers(0, config.text.vocabulary - 2, (2, config.text.context))
    tokens[[0, 1], [30, -1]] = config.text.vocabulary - 1
    pixels = draw.standard_normal((1, *config.image.image_size, 3), np.float32)
    encode = jax.jit(Clip(config).apply, static_argnames="method")
    with torch.no_grad():
        theirs_of_text = theirs.get_text_features(
            torch.tensor(tokens), attention_mask=torch.ones(tokens.shape, dtype=torch.long)
        ).pooler_output
        theirs_of_image = theirs.get_image_features(
            torch.tensor(pixels).permute(0, 3, 1, 2)
        ).pooler_output
    for kind, given, expected in (
        ("text", tokens.astype(np.int32), theirs_of_text.numpy()),
        ("image", pixels, theirs_of_image.numpy()),
    ):
        features = np.asarray(encode(clip.variables, given, method=f"encode_{kind}"))
        largest, difference = np.abs(expected).max(), np.abs(features - expected).max()
        print(f"{kind} features up to {largest:.1f}: largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
