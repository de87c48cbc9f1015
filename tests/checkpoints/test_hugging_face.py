import json
from dataclasses import replace

import jax
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from experiments.reference import hugging_face_model
from sam_jax.checkpoints import convert_checkpoint, load_checkpoint
from sam_jax.types import CheckpointError


def assert_equal_trees(actual, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, np.asarray(b), strict=True), actual, expected
    )


@pytest.fixture
def model(small):
    return hugging_face_model(small())


def test_folder(tmp_path, small, model):
    model.save_pretrained(tmp_path / "hf")
    config, variables = load_checkpoint(tmp_path / "hf")
    assert config == small()
    theirs = model.state_dict()
    decoder = variables["params"]["mask_decoder"]
    head = decoder["iou_prediction_head"]
    for layer, name in enumerate(("proj_in", "layers.0", "layers.1", "proj_out")):
        np.testing.assert_array_equal(
            head[f"layers_{layer}"]["kernel"],
            theirs[f"mask_decoder.iou_prediction_head.{name}.weight"].T,
        )
    np.testing.assert_array_equal(
        decoder["output_hypernetworks_mlps_1"]["layers_1"]["bias"],
        theirs["mask_decoder.output_hypernetworks_mlps.1.layers.0.bias"],
    )
    np.testing.assert_array_equal(
        decoder["transformer"]["layers_0"]["norm4"]["scale"],
        theirs["mask_decoder.transformer.layers.0.layer_norm4.weight"],
    )
    np.testing.assert_array_equal(
        variables["constants"]["prompt_encoder"]["gaussian_matrix"],
        theirs["shared_image_embedding.positional_embedding"],
    )
    np.testing.assert_array_equal(
        variables["params"]["prompt_encoder"]["mask_downscaling"]["conv2"]["kernel"][1, 0],
        theirs["prompt_encoder.mask_embed.conv2.weight"][:, :, 1, 0].T,
    )


def test_same_numbers_as_the_official_model(tmp_path, model, official):
    """With our translation in between, both compute the same image embedding."""
    model.save_pretrained(tmp_path / "hf")
    convert_checkpoint(tmp_path / "hf", tmp_path / "official.pth")
    official.load_state_dict(torch.load(tmp_path / "official.pth", weights_only=True))
    pixels = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        expected = model.get_image_embeddings(pixels)
        actual = official.image_encoder(pixels)
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)


def test_tied_keys(tmp_path, small, model):
    """Files hold the Gaussian matrix once, under either name, or twice."""
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    names = (
        "shared_image_embedding.positional_embedding",
        "prompt_encoder.shared_embedding.positional_embedding",
    )
    loaded = []
    for omitted in (None, *names):
        kept = {key: tensor for key, tensor in state.items() if key != omitted}
        save_file(kept, tmp_path / "a.safetensors")
        config, variables = load_checkpoint(tmp_path / "a.safetensors")
        assert config == small()
        loaded.append(variables)
    assert_equal_trees(loaded[0], loaded[1])
    assert_equal_trees(loaded[0], loaded[2])
    state[names[0]] += 1
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="differs from the tensor that it is tied to"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_sharded_folder(tmp_path, model):
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "shards", max_shard_size="60KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert_equal_trees(
        load_checkpoint(tmp_path / "shards")[1], load_checkpoint(tmp_path / "whole")[1]
    )
    next((tmp_path / "shards").glob("*.safetensors")).unlink()
    with pytest.raises(CheckpointError, match="no file model-"):
        load_checkpoint(tmp_path / "shards")


def test_config_json_knows_what_shapes_do_not(tmp_path, small):
    config = small(image_size=(64, 64), global_blocks=(0, 2))
    config = replace(config, mask_decoder=replace(config.mask_decoder, num_heads=8))
    hugging_face_model(config).save_pretrained(tmp_path / "hf")
    assert load_checkpoint(tmp_path / "hf")[0] == config


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        (None, "model_type", "sam2", "a model of type 'sam2', not 'sam'"),
        ("vision_config", "hidden_act", "relu", "vision_config has hidden_act 'relu'"),
        ("vision_config", "num_attention_heads", 5, "not divisible by num_heads 5"),
        ("vision_config", "window_size", "large", "invalid literal"),
        ("vision_config", "image_size", 128, r"5 misshapen \(image_encoder\."),
    ],
)
def test_refuses_other_configs(tmp_path, model, section, name, value, message):
    model.save_pretrained(tmp_path / "hf")
    path = tmp_path / "hf" / "config.json"
    description = json.loads(path.read_text())
    (description[section] if section else description)[name] = value
    path.write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "hf")


def test_incomplete_folders(tmp_path, model):
    model.save_pretrained(tmp_path / "hf")
    (tmp_path / "hf" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has a config\.json but no model\.safetensors"):
        load_checkpoint(tmp_path / "hf")
    (tmp_path / "hf" / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        load_checkpoint(tmp_path / "hf")
