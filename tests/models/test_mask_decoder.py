import jax.numpy as jnp
import numpy as np
import pytest
import torch

from sam_jax.models.mask_decoder import MaskDecoder, MaskDecoderConfig, OutputUpscaling
from sam_jax.types import InputError

WIDTH, TOKENS = 16, 3
FLOAT32 = jnp.dtype("float32")


@pytest.fixture(scope="module")
def params(variables):
    return variables["params"]["mask_decoder"]


@pytest.fixture
def decoder(config):
    return MaskDecoder(config.mask_decoder, FLOAT32)


@pytest.fixture
def inputs(draw):
    """Image, positions and tokens of one prompt."""
    image, positions = draw.standard_normal((2, 4, 6, WIDTH), np.float32)
    return image, positions, draw.standard_normal((TOKENS, WIDTH), np.float32)


@pytest.mark.parametrize("multimask_output", [False, True])
def test_masks_and_iou_are_the_official_ones(
    apply, decoder, params, official, inputs, multimask_output
):
    image, positions, tokens = inputs
    logits, iou = apply(
        decoder,
        params,
        image,
        positions,
        tokens,
        np.ones(TOKENS, bool),
        multimask_output=multimask_output,
    )

    def channels_first(array):
        return torch.from_numpy(array).permute(2, 0, 1)[None]

    expected, expected_iou = official.mask_decoder(
        image_embeddings=channels_first(image),
        image_pe=channels_first(positions),
        sparse_prompt_embeddings=torch.from_numpy(tokens)[None],
        dense_prompt_embeddings=torch.zeros(1, WIDTH, 4, 6),
        multimask_output=multimask_output,
    )
    assert logits.shape == (3 if multimask_output else 1, 16, 24)
    scale = expected.abs().max().item()
    np.testing.assert_allclose(logits, expected[0], rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(iou, expected_iou[0], rtol=1e-4, atol=1e-5)


def test_nothing_attends_to_absent_tokens(apply, decoder, params, inputs):
    image, positions, tokens = inputs
    present = np.array([True, False, True])
    short = apply(
        decoder, params, image, positions, tokens[present], present[present], multimask_output=True
    )
    tokens[1] = 100
    filled = apply(decoder, params, image, positions, tokens, present, multimask_output=True)
    for one, other in zip(short, filled, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5 * np.abs(one).max())


def test_upscaling_is_two_transposed_convolutions(apply, params, official, draw):
    image = draw.standard_normal((4, 6, WIDTH), np.float32)
    blocks = apply(
        OutputUpscaling(WIDTH, FLOAT32), params["output_upscaling"], image.reshape(24, WIDTH)
    )
    assert blocks.shape == (24, 2, 2, 2, 2, WIDTH // 8)
    # Row and column within the eighth, then within the quarter.
    whole = np.asarray(blocks).reshape(4, 6, 2, 2, 2, 2, -1).transpose(0, 2, 4, 1, 3, 5, 6)
    expected = official.mask_decoder.output_upscaling(
        torch.from_numpy(image).permute(2, 0, 1)[None]
    )
    np.testing.assert_allclose(
        whole.reshape(16, 24, -1), expected[0].permute(1, 2, 0), rtol=1e-4, atol=1e-5
    )


def test_the_first_mask_is_the_one_for_several_prompts(decoder):
    masks = list(range(4))
    assert masks[decoder.masks_of(False)] == [0]
    assert masks[decoder.masks_of(True)] == [1, 2, 3]


@pytest.mark.parametrize(("width", "num_heads"), [(20, 2), (24, 8)])
def test_impossible_widths_are_refused(width, num_heads):
    with pytest.raises(
        InputError, match=f"width {width} must be divisible by 8 and by twice num_h"
    ):
        MaskDecoderConfig(width=width, num_heads=num_heads)
