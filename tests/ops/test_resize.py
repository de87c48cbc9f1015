import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from sam_jax.ops.resize import (
    bilinear_matrix,
    cubic_matrix,
    fit_size,
    plan_mask_resize,
    resize_masks,
)
from sam_jax.types import InputError


@pytest.mark.parametrize(("size_in", "size_out"), [(7, 19), (19, 7), (5, 5), (1, 4), (4, 1)])
def test_bilinear_matrix_is_torchs_interpolation(size_in, size_out):
    values = np.random.default_rng(0).standard_normal((1, 3, size_in), np.float32)
    reference = interpolate(torch.tensor(values), size_out, mode="linear", align_corners=False)
    np.testing.assert_allclose(
        values[0] @ bilinear_matrix(size_in, size_out).T, reference[0], atol=1e-5
    )


@pytest.mark.parametrize("sizes_in", [(14, 14), (3, 8), (1, 2)])
@pytest.mark.parametrize("sizes_out", [(64, 64), (5, 7), (2, 16)])
def test_cubic_matrices_are_torchs_interpolation(sizes_in, sizes_out):
    values = np.random.default_rng(0).standard_normal((1, 3, *sizes_in), np.float32)
    reference = interpolate(torch.tensor(values), sizes_out, mode="bicubic", align_corners=False)
    down, across = (cubic_matrix(*sides) for sides in zip(sizes_in, sizes_out, strict=True))
    np.testing.assert_allclose(down @ values[0] @ across.T, reference[0], atol=1e-5)


@pytest.mark.parametrize(
    ("image", "frame", "fitted"),
    [
        ((1200, 1800), (1024, 1024), (683, 1024)),
        ((300, 451), (512, 512), (341, 512)),
        ((2, 700), (512, 512), (1, 512)),
        ((480, 640), (768, 1024), (768, 1024)),
        ((640, 480), (768, 1024), (768, 576)),
    ],
)
def test_fit_size(image, frame, fitted):
    assert fit_size(*image, frame) == fitted


def test_fit_size_refuses_what_would_vanish():
    with pytest.raises(InputError, match="too thin: 5000x2 pixels shrink to 512x0"):
        fit_size(2, 5000, (512, 512))


@pytest.mark.parametrize("image_size", [(90, 131), (31, 17), (64, 96), (1, 1)])
@pytest.mark.parametrize("padded_size", [None, (128, 160)])
def test_resize_masks_is_the_two_official_steps(image_size, padded_size):
    frame, low_size = (64, 96), (16, 24)
    fitted = fit_size(*image_size, frame)
    logits = np.random.default_rng(1).standard_normal((2, 3, *low_size), np.float32)
    enlarged = interpolate(torch.tensor(logits), frame, mode="bilinear", align_corners=False)
    cropped = enlarged[..., : fitted[0], : fitted[1]]
    reference = interpolate(cropped, image_size, mode="bilinear", align_corners=False).numpy()
    plan = plan_mask_resize(low_size, frame, fitted, image_size, padded_size)
    ours = resize_masks(jnp.asarray(logits), plan)
    assert ours.shape[2:] == (padded_size or image_size)
    # PyTorch rounds the positions that it interpolates at to float32.
    np.testing.assert_allclose(ours[..., : image_size[0], : image_size[1]], reference, atol=2e-5)
