"""The masked autoencoder against that of `transformers`: what it paints, its loss, and the gradients."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from sam_jax.checkpoints import load_mae
from sam_jax.checkpoints.conversion import flatten, leaves_to_official
from sam_jax.checkpoints.names import MAE_NAMES
from sam_jax.losses import patch_squared_error
from sam_jax.models import Compute, MaskedAutoencoder, reconstruct
from sam_jax.ops.patches import patchify
from tests.masked_autoencoders import make_model, public_state


def loss_of(params, constants, config, compute, pixels, noise):
    model = MaskedAutoencoder(config, {"params": params, "constants": constants}, compute)
    painted, removed = reconstruct(model, pixels, noise)
    errors = patch_squared_error(painted, patchify(pixels, config.patch_size))
    return jnp.sum(errors * removed) / jnp.sum(removed), (painted, removed)


@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize(("size", "in_loops"), [((96, 96), False), ((48, 80), True)])
def test_as_transformers(tmp_path, size, in_loops):
    square = size[0] == size[1]
    theirs = make_model(
        num_hidden_layers=2,
        decoder_num_hidden_layers=2,
        image_size=size[0] if square else 64,
    )
    theirs.save_pretrained(tmp_path)
    config, variables = load_mae(tmp_path)
    patches = (size[0] // 16) * (size[1] // 16)
    if not square:
        # Their model knows only square grids, and resizes positions to others: these are what it computes with.
        config = replace(config, image_size=size)
        with torch.no_grad():
            for part, table in (
                (
                    "encoder",
                    theirs.vit.embeddings.interpolate_pos_encoding(
                        torch.zeros(1, patches, 24), *size
                    ),
                ),
                (
                    "decoder",
                    theirs.decoder.interpolate_pos_encoding(torch.zeros(1, patches + 1, 16)),
                ),
            ):
                variables["constants"][part]["pos_embed"] = table[0].numpy()
    draw = np.random.default_rng(1)
    pixels = draw.standard_normal((2, *size, 3), np.float32)
    noise = draw.random((2, patches), np.float32)
    expected = theirs(
        torch.tensor(pixels).permute(0, 3, 1, 2),
        noise=torch.tensor(noise),
        interpolate_pos_encoding=not square,
    )
    expected.loss.backward()
    compute = Compute(scan_blocks=in_loops, remat=in_loops)
    differentiate = jax.jit(jax.value_and_grad(loss_of, has_aux=True), static_argnums=(2, 3))
    (loss, (painted, removed)), gradients = differentiate(
        variables["params"], variables["constants"], config, compute, pixels, noise
    )
    np.testing.assert_array_equal(removed, expected.mask)
    assert removed.sum() == 2 * (patches - patches // 4)
    np.testing.assert_allclose(loss, expected.loss.item(), rtol=1e-5)
    np.testing.assert_allclose(painted, expected.logits.detach(), atol=1e-5)
    with_gradient = {name: p.grad for name, p in theirs.named_parameters() if p.requires_grad}
    wanted = public_state(with_gradient)
    ours = leaves_to_official(flatten({"params": gradients}), MAE_NAMES)
    assert set(ours) == set(wanted)
    for name, gradient in ours.items():
        scale = wanted[name].abs().max().item()
        np.testing.assert_allclose(gradient, wanted[name], atol=1e-3 * scale, err_msg=name)
