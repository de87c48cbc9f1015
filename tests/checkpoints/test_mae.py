"""Masked autoencoders go out under the names that everyone knows, and come back to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from flax.traverse_util import flatten_dict

from sam_jax.checkpoints import load_first_weights, load_mae, save_mae
from sam_jax.checkpoints.mae import public_shapes
from sam_jax.models import MAE_VIT_B, MaeConfig, TransformerConfig, init_mae
from sam_jax.types import CheckpointError, InputError
from tests.masked_autoencoders import make_model, public_state

CONFIG = MaeConfig(
    image_size=(48, 80),
    encoder=TransformerConfig(width=24, depth=3, num_heads=3, mlp_ratio=3.0),
    decoder=TransformerConfig(width=16, depth=2, num_heads=2, mlp_ratio=2.0),
)
SQUARE = replace(CONFIG, image_size=(64, 64))


def assert_equal(one, other):
    one, other = (flatten_dict(tree, sep="/") for tree in (one, other))
    assert set(one) == set(other)
    for name, leaf in one.items():
        np.testing.assert_array_equal(leaf, other[name], strict=True, err_msg=name)


@pytest.mark.parametrize("name", ["mae.pth", "mae.safetensors", "folder"])
def test_out_and_in_is_exact(tmp_path, name):
    config = SQUARE if name == "folder" else CONFIG
    variables = init_mae(config, seed=1)
    save_mae(tmp_path / name, config, variables)
    found, again = load_mae(tmp_path / name, config=config if name == "mae.pth" else None)
    assert found == config
    assert_equal(again, variables)


def test_the_file_is_the_authors(tmp_path):
    variables = init_mae(SQUARE, seed=1)
    save_mae(tmp_path / "mae.pth", SQUARE, variables)
    state = torch.load(tmp_path / "mae.pth", weights_only=True)["model"]
    model = make_model(seed=2)
    wanted = public_state(dict(model.state_dict()))
    assert {key: t.shape for key, t in state.items()} == {key: t.shape for key, t in wanted.items()}
    np.testing.assert_array_equal(
        state["decoder_blocks.1.attn.qkv.weight"],
        variables["params"]["decoder"]["blocks_1"]["attn"]["qkv"]["kernel"].T,
    )
    # Fixed positions are those that transformers computes.
    fresh = transformers.ViTMAEForPreTraining(model.config)
    fresh.vit.embeddings.patch_embeddings.projection._is_hf_initialized = False
    fresh.vit.embeddings.initialize_weights()
    np.testing.assert_allclose(
        state["pos_embed"], fresh.vit.embeddings.position_embeddings.detach(), atol=1e-7
    )


def test_transformers_loads_the_folder(tmp_path):
    model = make_model(seed=2)
    model.save_pretrained(tmp_path / "theirs")
    config, variables = load_mae(tmp_path / "theirs")
    assert config == SQUARE
    save_mae(tmp_path / "ours", config, variables)
    again, about = transformers.ViTMAEForPreTraining.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not about["missing_keys"]
    assert not about["unexpected_keys"]
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=0, atol=0)


def test_training_starts_from_it(tmp_path, small):
    save_mae(tmp_path / "mae.safetensors", CONFIG, init_mae(CONFIG))
    config = small(depth=3, global_blocks=(2,), image_size=(96, 160))
    _, account = load_first_weights(tmp_path / "mae.safetensors", config)
    assert account.resized == ("positions from 3x5 to 6x10",)


def test_a_published_size_is_recognised(tmp_path):
    """ViT-B, whose number of heads a file does not tell; only shapes matter here."""
    about = transformers.ViTMAEConfig()
    with torch.device("meta"):
        model = transformers.ViTMAEForPreTraining(about)
    wanted = {name: tensor.shape for name, tensor in public_state(model.state_dict()).items()}
    assert {name: torch.Size(shape) for name, shape in public_shapes(MAE_VIT_B).items()} == wanted
    state = {name: torch.zeros(1).expand(shape) for name, shape in wanted.items()}
    torch.save({"model": state}, tmp_path / "mae.pth")
    assert load_mae(tmp_path / "mae.pth")[0] == MAE_VIT_B
    assert MAE_VIT_B.encoder.num_heads == about.num_attention_heads
    assert MAE_VIT_B.decoder.num_heads == about.decoder_num_attention_heads


def test_what_is_refused(tmp_path):
    variables = init_mae(CONFIG)
    with pytest.raises(InputError, match="square images, not 48 x 80 pixels"):
        save_mae(tmp_path / "folder", CONFIG, variables)
    with pytest.raises(InputError, match="cannot tell the format"):
        save_mae(tmp_path / "mae.npz", CONFIG, variables)
    with pytest.raises(CheckpointError, match="misshapen"):
        save_mae(tmp_path / "mae.pth", SQUARE, variables)
    save_mae(tmp_path / "mae.pth", CONFIG, variables)
    with pytest.raises(CheckpointError, match="does not tell its number of heads: give `config`"):
        load_mae(tmp_path / "mae.pth")
    state = torch.load(tmp_path / "mae.pth", weights_only=True)["model"]
    encoder = {name: t for name, t in state.items() if not name.startswith(("decoder_", "mask_"))}
    torch.save({"model": encoder}, tmp_path / "encoder.pth")
    with pytest.raises(CheckpointError, match="without a decoder; a masked autoencoder has both"):
        load_mae(tmp_path / "encoder.pth", config=CONFIG)
    del state["decoder_norm.bias"]
    torch.save({"model": state}, tmp_path / "mae.pth")
    with pytest.raises(CheckpointError, match=r"1 missing \(decoder_norm.bias\)"):
        load_mae(tmp_path / "mae.pth", config=CONFIG)
    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="holds another model, not a masked autoencoder"):
        load_mae(tmp_path / "other.pth")
