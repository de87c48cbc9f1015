"""CLIP against that of `transformers`: features of phrases and images, from folders and from OpenAI's archives."""

import jax
import numpy as np
import pytest
import torch

from sam_jax.checkpoints import load_clip
from sam_jax.models.clip import Clip
from tests.clip_models import make_clip, openai_state, save_script

OPENAI_SIZES = {
    "text": {
        "hidden_size": 64,
        "num_attention_heads": 1,
        "intermediate_size": 96,
        "eos_token_id": 2,
    },
    "image": {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 160},
}
"""Heads as wide as OpenAI's, which their files do not tell."""


def features_of(clip, tokens, pixels):
    module = Clip(clip.config, clip.compute)
    encode = jax.jit(module.apply, static_argnames="method")
    return (
        encode(clip.variables, tokens, method="encode_text"),
        encode(clip.variables, pixels, method="encode_image"),
    )


def check(clip, theirs, *, end=99, atol=1e-5):
    """Compare the features of random tokens and images."""
    draw = np.random.default_rng(1)
    size = clip.config.image.image_size
    tokens = draw.integers(0, 98, (3, 12)).astype(np.int64)
    tokens[[0, 1, 1, 2], [11, 4, 8, 0]] = end
    pixels = draw.standard_normal((2, *size, 3), np.float32)
    with torch.no_grad():
        text = theirs.get_text_features(
            torch.tensor(tokens), attention_mask=torch.ones(tokens.shape, dtype=torch.long)
        ).pooler_output
        image = theirs.get_image_features(torch.tensor(pixels).permute(0, 3, 1, 2)).pooler_output
    ours = features_of(clip, tokens.astype(np.int32), pixels)
    for features, expected in zip(ours, (text, image), strict=True):
        assert np.abs(expected.numpy()).max() > 0.5
        np.testing.assert_allclose(features, expected, atol=atol)


@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"text": {"eos_token_id": 2}},
        {
            "text": {"eos_token_id": 50, "hidden_act": "gelu", "num_hidden_layers": 1},
            "image": {"hidden_act": "gelu", "num_hidden_layers": 3, "patch_size": 16},
            "width": 28,
        },
    ],
)
def test_as_transformers(tmp_path, sizes):
    theirs = make_clip(**sizes)
    theirs.save_pretrained(tmp_path)
    clip = load_clip(tmp_path, with_words=False)
    check(clip, theirs, end=50 if "width" in sizes else 99)
    np.testing.assert_allclose(
        np.exp(clip.variables["params"]["logit_scale"]), theirs.logit_scale.exp().item(), rtol=1e-6
    )


@pytest.mark.usefixtures("quick_compilation")
def test_as_openais_archive(tmp_path):
    theirs = make_clip(**OPENAI_SIZES).half().float()
    save_script(tmp_path / "clip.pt", openai_state(theirs))
    check(load_clip(tmp_path / "clip.pt", with_words=False), theirs)
