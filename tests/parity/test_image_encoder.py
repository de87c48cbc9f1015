"""The encoder against the official one, layer by layer, on a grid whose sides differ."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from sam_jax.models import Compute, Model, encode_image


def pixels(pair, count=1):
    height, width = pair.config.image_encoder.image_size
    x = np.random.default_rng(0).standard_normal((count, height, width, 3), np.float32)
    return jnp.asarray(x)


def official_layers(pair, x):
    encoder, outputs = pair.torch_model.image_encoder, {}

    def keep(name, transpose):
        def hook(module, inputs, output):
            outputs[name] = (output.permute(0, 2, 3, 1) if transpose else output).numpy()

        return hook

    hooks = [encoder.patch_embed.register_forward_hook(keep("patch_embed", False))]
    hooks += [
        block.register_forward_hook(keep(f"blocks_{index}", False))
        for index, block in enumerate(encoder.blocks)
    ]
    hooks.append(encoder.neck.register_forward_hook(keep("neck", True)))
    with torch.no_grad():
        encoder(torch.tensor(np.asarray(x)).permute(0, 3, 1, 2))
    for hook in hooks:
        hook.remove()
    return outputs


def relative_error(ours, reference):
    return np.abs(np.asarray(ours) - reference).max() / np.abs(reference).max()


@pytest.mark.parametrize("name", ["oblong", "tiny"])
def test_layer_by_layer(name, request):
    pair = request.getfixturevalue(name)
    x = pixels(pair)
    reference = official_layers(pair, x)

    @jax.jit
    def encode(variables, x):
        return pair.model.sam.apply(
            variables,
            x,
            method="encode_image",
            capture_intermediates=True,
            mutable=["intermediates"],
        )

    _, kept = encode(pair.model.variables, x)
    ours = kept["intermediates"]["image_encoder"]
    assert set(reference) == {k for k in ours if k != "__call__"}
    for layer, expected in reference.items():
        assert relative_error(ours[layer]["__call__"][0], expected) < 1e-5, layer


@pytest.mark.parametrize(
    "compute",
    [
        Compute(scan_blocks=True, remat=True),
        Compute(heads_at_once=3, rows_at_once=4, windows_at_once=5, tokens_at_once=7),
        Compute(heads_at_once=2, rows_at_once=1000, windows_at_once=1000, tokens_at_once=10**6),
    ],
    ids=lambda compute: " ".join(
        f"{k}={v}" for k, v in vars(compute).items() if v != getattr(Compute(), k)
    ),
)
def test_every_way_to_compute_gives_the_same(oblong, compute):
    x = pixels(oblong, count=2)
    reference = official_layers(oblong, x)["neck"]
    model = replace(oblong.model, compute=compute)
    assert relative_error(jax.jit(encode_image)(model, x), reference) < 1e-5


@pytest.mark.usefixtures("quick_compilation")
def test_gradients_equal_pytorchs_and_do_not_depend_on_the_way_to_compute(oblong):
    x = pixels(oblong)
    encoder = oblong.torch_model.image_encoder
    encoder.zero_grad()
    encoder(torch.tensor(np.asarray(x)).permute(0, 3, 1, 2)).square().mean().backward()

    def gradients(compute):
        def loss(variables):
            model = Model(oblong.config, variables, compute)
            return jnp.square(encode_image(model, x)).mean()

        return jax.jit(jax.grad(loss))(oblong.model.variables)["params"]["image_encoder"]

    plain = gradients(Compute(rows_at_once=1000, heads_at_once=3, windows_at_once=1000))
    frugal = gradients(Compute(remat=True, scan_blocks=True))
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(plain))
    assert largest > 0
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(frugal), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * largest)
    for gradients in (plain, frugal):
        reference = encoder.blocks[2].attn.rel_pos_h.grad.numpy()
        assert relative_error(gradients["blocks_2"]["attn"]["rel_pos_h"], reference) < 1e-4
        reference = encoder.blocks[0].attn.rel_pos_w.grad.numpy()
        assert relative_error(gradients["blocks_0"]["attn"]["rel_pos_w"], reference) < 1e-4
        reference = encoder.pos_embed.grad.numpy()[0]
        assert relative_error(gradients["pos_embed"], reference) < 1e-4


def test_bfloat16_is_near(tiny):
    x = pixels(tiny)
    reference = official_layers(tiny, x)["neck"]
    model = replace(tiny.model, compute=Compute(dtype="bfloat16"))
    embedding = jax.jit(encode_image)(model, x)
    assert embedding.dtype == jnp.bfloat16
    assert relative_error(embedding.astype(np.float32), reference) < 0.05
