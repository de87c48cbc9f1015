"""Training that starts from a plain ViT: which numbers arrive where, and what is said of the others."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest
import torch
import transformers
from flax.traverse_util import flatten_dict
from safetensors.torch import save_file

from sam_jax.checkpoints import load_checkpoint, load_first_weights, load_mae, save_checkpoint
from sam_jax.checkpoints.conversion import leaf_shapes
from sam_jax.models import ON_CPU, VIT_B, init_variables
from sam_jax.models.image_encoder import ImageEncoder
from sam_jax.types import CheckpointError, InputError
from tests.masked_autoencoders import make_model, public_state

MODEL = {"depth": 3, "global_blocks": (0, 1)}


@pytest.fixture(scope="module")
def theirs():
    return make_model()


@pytest.fixture
def public(theirs):
    return public_state(dict(theirs.state_dict()))


@pytest.fixture
def config(small):
    return small(**MODEL, image_size=(96, 64))


def save(folder, state, name="vit.pth"):
    torch.save(state, folder / name)
    return folder / name


def resize_plainly(table, rows, columns):
    """Bicubic interpolation (Keys, a = -0.75), pixel by pixel, edges repeated."""

    def kernel(distance):
        d = abs(distance)
        if d <= 1:
            return 1.25 * d**3 - 2.25 * d**2 + 1
        return -0.75 * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0

    height, width, features = table.shape
    result = np.zeros((rows, columns, features))
    for r in range(rows):
        y = (r + 0.5) * height / rows - 0.5
        for c in range(columns):
            x = (c + 0.5) * width / columns - 0.5
            for i in range(math.floor(y) - 1, math.floor(y) + 3):
                for j in range(math.floor(x) - 1, math.floor(x) + 3):
                    pixel = table[min(max(i, 0), height - 1), min(max(j, 0), width - 1)]
                    result[r, c] += kernel(y - i) * kernel(x - j) * pixel
    return result


def test_up_to_the_windowed_block_it_is_the_same_vit(tmp_path, theirs, public, config):
    variables, account = load_first_weights(save(tmp_path, {"model": public}), config)
    table = public["pos_embed"].numpy()[0, 1:].reshape(4, 4, 24)
    positions = resize_plainly(table, 6, 4)
    pixels = torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tokens = theirs.vit.embeddings.patch_embeddings.projection(pixels)
        tokens = tokens.flatten(2).transpose(1, 2) + torch.tensor(positions).float().reshape(
            1, 24, 24
        )
        for layer in theirs.vit.layers[:2]:
            tokens = layer(tokens)

    def first_blocks(encoder, x):
        x = encoder.embed_patches(x)
        for block in encoder.blocks[:2]:
            x = block(x)
        return x

    run = jax.jit(ImageEncoder(config.image_encoder, ON_CPU).apply, static_argnames="method")
    params = {"params": variables["params"]["image_encoder"]}
    x = run(params, pixels.permute(0, 2, 3, 1).numpy(), method=first_blocks)
    np.testing.assert_allclose(x.reshape(1, 24, 24), tokens, atol=2e-5)
    assert account.resized == ("positions from 4x4 to 6x4",)


def test_every_tensor_and_every_leaf_is_accounted_for(tmp_path, public, config):
    path = save(tmp_path, {"model": public, "optimizer": {"state": {0: torch.ones(3)}}, "epoch": 1})
    variables, account = load_first_weights(path, config, seed=3)
    leaves, shapes = flatten_dict(variables, sep="/"), leaf_shapes(config)
    assert {name: leaf.shape for name, leaf in leaves.items()} == dict(shapes)
    assert all(leaf.dtype == np.float32 for leaf in leaves.values())
    in_file = {f"model/{name}" for name in public} | {"optimizer/state/0"}
    assert set(account.taken) | set(account.dropped) == in_file
    assert not set(account.taken) & set(account.dropped)
    assert len(account.taken) == 3 + 12 * 3
    assert len(account.taken) + len(account.fresh) == len(shapes)
    drawn = flatten_dict(init_variables(config, 3), sep="/")
    for name in account.fresh:
        np.testing.assert_array_equal(leaves[name], drawn[name])
        if "rel_pos" in name:
            assert not leaves[name].any()
    np.testing.assert_array_equal(
        leaves["params/image_encoder/blocks_2/mlp/lin2/kernel"],
        public["blocks.2.mlp.fc2.weight"].T,
    )
    assert str(account) == (
        "took 39 of 75 tensors of a masked autoencoder; resized positions from 4x4 to 6x4; dropped cls_token, norm, "
        "mask_token, decoder_pos_embed, decoder_embed, decoder_blocks, decoder_norm, decoder_pred, optimizer; "
        "left fresh prompt_encoder, image_encoder/rel_pos_h, image_encoder/rel_pos_w, image_encoder/neck, mask_decoder"
    )


def test_other_files_of_the_same_vit(tmp_path, theirs, public, config):
    """A folder, the encoder alone, other prefixes, a detector's, 16 bits: the same numbers."""
    expected = load_first_weights(save(tmp_path, public), config)[0]["params"]["image_encoder"]
    encoder = {
        name: tensor
        for name, tensor in public.items()
        if not name.startswith(("decoder", "mask_token"))
    }
    theirs.save_pretrained(tmp_path / "folder")
    theirs.vit.save_pretrained(tmp_path / "encoder")
    save(tmp_path, dict(theirs.state_dict()), "new_names.pth")
    save(tmp_path, {"teacher": {f"module.backbone.{n}": t for n, t in encoder.items()}}, "dino.pth")
    detector = {
        n: t for n, t in encoder.items() if n not in ("cls_token", "norm.bias", "norm.weight")
    }
    detector = {f"backbone.net.{name}": tensor for name, tensor in detector.items()}
    save(tmp_path, {"model": {**detector, "roi_heads.0.bias": torch.ones(2)}}, "vitdet.pth")
    save_file(
        {f"vit.{n}": t for n, t in theirs.vit.state_dict().items()}, tmp_path / "a.safetensors"
    )
    decoder = {name.split(".")[0] for name in public if name not in encoder}
    for name in ("folder", "encoder", "new_names.pth", "dino.pth", "vitdet.pth", "a.safetensors"):
        variables, account = load_first_weights(tmp_path / name, config)
        found = flatten_dict(variables["params"]["image_encoder"], sep="/")
        for leaf, value in flatten_dict(expected, sep="/").items():
            np.testing.assert_array_equal(found[leaf], value, err_msg=f"{name} {leaf}")
        assert account.resized == ("positions from 4x4 to 6x4",)
        parts = {"model/roi_heads"} if name == "vitdet.pth" else {"cls_token", "norm"}
        assert parts <= set(account.dropped_parts) <= {*parts, *decoder}


def test_an_image_encoder_alone(tmp_path, small, published):
    """With its relative positions and its neck; of another input size, as a whole model would be resized."""
    state, _ = published
    model = small(depth=2, global_blocks=(1,))
    save(tmp_path, state, "whole.pth")
    encoder = {name: t for name, t in state.items() if name.startswith("image_encoder.")}
    save(tmp_path, encoder, "prefix.pth")
    save(tmp_path, {n.removeprefix("image_encoder."): t for n, t in encoder.items()}, "bare.pth")
    for size in ((96, 96), (64, 128)):
        config = model.with_image_size(size)
        _, whole = load_checkpoint(tmp_path / "whole.pth", image_size=size)
        for name in ("prefix.pth", "bare.pth"):
            variables, account = load_first_weights(tmp_path / name, config)
            for leaf, value in flatten_dict(whole["params"]["image_encoder"], sep="/").items():
                found = flatten_dict(variables["params"]["image_encoder"], sep="/")[leaf]
                np.testing.assert_allclose(found, value, atol=1e-6, err_msg=leaf)
            assert len(account.taken) == len(encoder)
            assert account.dropped == ()
            assert bool(account.resized) == (size != (96, 96))
    variables, account = load_first_weights(tmp_path / "whole.pth", model)
    assert account is None
    with pytest.raises(
        CheckpointError, match="holds the image encoder of a Segment Anything alone, not a"
    ):
        load_checkpoint(tmp_path / "bare.pth")


def test_patches_of_14_pixels_are_interpolated(tmp_path, public, config):
    public["patch_embed.proj.weight"] = torch.randn(24, 3, 14, 14)
    variables, account = load_first_weights(save(tmp_path, public), config)
    kernel = variables["params"]["image_encoder"]["patch_embed"]["kernel"]
    wanted = torch.nn.functional.interpolate(
        public["patch_embed.proj.weight"], (16, 16), mode="bicubic"
    )
    np.testing.assert_allclose(kernel, wanted.permute(2, 3, 1, 0), atol=1e-5)
    assert account.resized[-1] == "patches from 14 to 16 pixels"


def test_a_classifier_gives_its_encoder(tmp_path, public, config):
    classifier = {name: t for name, t in public.items() if not name.startswith(("decoder", "mask"))}
    classifier |= {"head.weight": torch.ones(10, 24), "head.bias": torch.ones(10)}
    path = save(tmp_path, {"model": classifier})
    _, account = load_first_weights(path, config)
    assert account.kind == "a ViT with the head of a classifier"
    assert account.dropped[-1] == "model/head.bias"
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert str(error.value) == (
        f"{path} holds a ViT with the head of a classifier, not a Segment Anything: training can start from it, "
        f"sam-jax train CONFIG --start-from {path}"
    )


def test_a_newer_relative_is_refused_by_what_it_has_more(tmp_path, config):
    about = transformers.Dinov2WithRegistersConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        mlp_ratio=3,
        image_size=64,
        patch_size=16,
    )
    transformers.Dinov2WithRegistersModel(about).save_pretrained(tmp_path)
    message = refusal(tmp_path, config)
    assert "7 unexpected (image_encoder." in message
    assert "image_encoder.register_tokens" in message
    assert "missing" not in message


def refusal(path, config):
    with pytest.raises(InputError) as error:
        load_first_weights(path, config)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_does_not_fit_is_told(tmp_path, theirs, public, config, small):
    path = save(tmp_path, public)
    assert refusal(path, VIT_B) == (
        f"{path} holds a masked autoencoder, of width 24 and depth 3; the config's image encoder has width 768 and "
        "depth 12"
    )
    assert "width 24 and depth 3; the config's image encoder has width 24 and depth 2" in refusal(
        path, small(depth=2, global_blocks=(1,))
    )
    scaled = {**public, "blocks.0.ls1.gamma": torch.ones(24), "reg_token": torch.ones(1, 4, 24)}
    del scaled["blocks.1.norm1.bias"]
    scaled["blocks.2.mlp.fc1.weight"] = torch.ones(96, 24)
    scaled["blocks.2.mlp.fc2.bias"] = torch.full((24,), math.nan)
    assert (
        "does not fit the image encoder of SAM of width 24 and depth 3: 1 missing (image_encoder.blocks.1.norm1.bias), "
        "2 unexpected (image_encoder.blocks.0.ls1.gamma, image_encoder.reg_token), "
        "1 misshapen (image_encoder.blocks.2.mlp.lin1.weight: (96,24) instead of (72,24))"
    ) in refusal(save(tmp_path, scaled), config)
    public["blocks.2.mlp.fc2.bias"] = torch.full((24,), math.nan)
    assert "1 with NaN or infinity" in refusal(save(tmp_path, public), config)
    small_patches = {**public, "patch_embed.proj.weight": torch.ones(24, 3, 8, 8)}
    assert "with patches of 8x8 pixels; training can start from patches of 16, or" in refusal(
        save(tmp_path, small_patches), config
    )
    for places in (0, 24):
        oblong = {**public, "pos_embed": torch.ones(1, places, 24)}
        message = f"has {places} positions, which is no square grid"
        assert message in refusal(save(tmp_path, oblong), config)
    theirs.save_pretrained(tmp_path / "folder")
    heads = replace(config, image_encoder=replace(config.image_encoder, num_heads=2))
    assert "num_attention_heads is 3; the config's image encoder has 2" in refusal(
        tmp_path / "folder", heads
    )
    whole = path.read_bytes()
    for length in (1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "truncated or damaged" in refusal(path, config)


def test_neither_is_the_other(tmp_path, theirs, public, small, make_variables):
    message = "holds a masked autoencoder, not a Segment Anything: training can start from it"
    theirs.save_pretrained(tmp_path / "folder")
    for path in (save(tmp_path, {"model": public}), tmp_path / "folder"):
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path)
    for name in ("sam.safetensors", "sam.pth", "sam"):
        save_checkpoint(tmp_path / name, small(), make_variables(small()))
        with pytest.raises(CheckpointError, match="holds a Segment Anything, not a masked auto"):
            load_mae(tmp_path / name)
