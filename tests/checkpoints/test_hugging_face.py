import copy
import json
from dataclasses import replace

import jax
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

from experiments.reference import hugging_face_model
from sam_jax.checkpoints import (
    SHIPPED_WEIGHTS,
    convert_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from sam_jax.checkpoints.names import TIED
from sam_jax.data.framing import frame_image, normalise
from sam_jax.types import CheckpointError, InputError


def assert_equal_trees(actual, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, np.asarray(b), strict=True), actual, expected
    )


@pytest.fixture(scope="module")
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
        (
            "vision_config",
            "layer_norm_eps",
            1e-5,
            "vision_config has layer_norm_eps 1e-05, only 1e-06",
        ),
        (
            "prompt_encoder_config",
            "layer_norm_eps",
            1e-12,
            "prompt_encoder_config has layer_norm_eps",
        ),
        (
            "mask_decoder_config",
            "layer_norm_eps",
            1e-12,
            "mask_decoder_config has layer_norm_eps 1e-12",
        ),
        ("mask_decoder_config", "attention_downsample_rate", 4, "attention_downsample_rate 4"),
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
    with pytest.raises(CheckpointError, match=r"config\.json but no weights: neither model\.saf"):
        load_checkpoint(tmp_path / "hf")
    (tmp_path / "hf" / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        load_checkpoint(tmp_path / "hf")


def test_published_epsilons_are_read(tmp_path, small, model):
    """Official PyTorch has 1e-5 in the two-way transformer, Hugging Face's own folders say 1e-6."""
    model.save_pretrained(tmp_path / "hf")
    path = tmp_path / "hf" / "config.json"
    description = json.loads(path.read_text())
    for epsilon in (1e-5, 1e-6):
        description["mask_decoder_config"]["layer_norm_eps"] = epsilon
        path.write_text(json.dumps(description))
        assert load_checkpoint(tmp_path / "hf")[0] == small()


def _save_as(folder, model, names, dtype=torch.float32):
    """A folder whose weights lie in files of other names than `save_pretrained` gives them."""
    model.config.save_pretrained(folder)
    state = {key: tensor.to(dtype) for key, tensor in model.state_dict().items()}
    (tied,) = TIED.values()
    del state[tied]
    shares = [dict(list(state.items())[index :: len(names)]) for index in range(len(names))]
    for name, share in zip(names, shares, strict=True):
        if name.endswith(".safetensors"):
            save_file({key: tensor.contiguous() for key, tensor in share.items()}, folder / name)
        else:
            torch.save(share, folder / name)
    return {key: name for name, share in zip(names, shares, strict=True) for key in share}


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (["model.fp16.safetensors"], None),
        (["pytorch_model.bin"], None),
        (["pytorch_model.fp16.bin"], None),
        (
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"],
            "pytorch_model.bin.index.json",
        ),
        (
            ["model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"],
            "model.safetensors.index.fp16.json",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_folders_of_other_precisions_and_ages(tmp_path, small, model, names, index):
    folder = tmp_path / "hf"
    dtype = torch.float16 if "fp16" in names[0] else torch.float32
    places = _save_as(folder, model, names, dtype)
    if index:
        (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    config, variables = load_checkpoint(folder)
    assert config == small()
    copy.deepcopy(model).to(dtype).save_pretrained(tmp_path / "expected")
    assert_equal_trees(variables, load_checkpoint(tmp_path / "expected")[1])
    if not index:  # the file itself, with the config beside it or without
        assert_equal_trees(load_checkpoint(folder / names[0])[1], variables)
        (folder / names[0]).rename(tmp_path / "any.name")
        config, alone = load_checkpoint(tmp_path / "any.name")
        assert config == small()
        assert_equal_trees(alone, variables)


def test_two_precisions_in_a_folder(tmp_path, model):
    for name in ("model.fp16.safetensors", "model.bf16.safetensors"):
        _save_as(tmp_path / "hf", model, [name])
    with pytest.raises(CheckpointError, match=r"name the file that is meant"):
        load_checkpoint(tmp_path / "hf")


def test_a_file_is_read_by_the_config_beside_it(tmp_path, small, model):
    model.save_pretrained(tmp_path / "hf")
    path = tmp_path / "hf" / "config.json"
    description = json.loads(path.read_text())
    description["vision_config"]["layer_norm_eps"] = 1e-12
    path.write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match="layer_norm_eps"):
        load_checkpoint(tmp_path / "hf" / "model.safetensors")
    path.write_text(json.dumps({"model_type": "bert"}))
    assert load_checkpoint(tmp_path / "hf" / "model.safetensors")[0] == small()


def test_written_folders_load_in_transformers(tmp_path, small, official):
    """Embeddings, masks and predicted IoU are those of the official model that the weights are from."""
    config = small()
    torch.save(official.state_dict(), tmp_path / "sam.pth")
    convert_checkpoint(tmp_path / "sam.pth", tmp_path / "hf")
    model = transformers.SamModel.from_pretrained(tmp_path / "hf").eval()
    pixels = torch.randn(1, 3, 96, 96)
    points, labels = torch.tensor([[[30.0, 50.0]]]), torch.ones(1, 1, dtype=torch.int32)
    with torch.no_grad():
        features = official.image_encoder(pixels)
        sparse, dense = official.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        masks, iou = official.mask_decoder(
            image_embeddings=features,
            image_pe=official.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        theirs = model(
            pixel_values=pixels, input_points=points[None], input_labels=labels[None].long()
        )
        torch.testing.assert_close(
            model.get_image_embeddings(pixels), features, rtol=1e-4, atol=1e-4
        )
    torch.testing.assert_close(theirs.pred_masks[0], masks, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(theirs.iou_scores[0], iou, rtol=1e-4, atol=1e-4)
    again, variables = load_checkpoint(tmp_path / "hf")
    assert again == config
    assert_equal_trees(variables, load_checkpoint(tmp_path / "sam.pth")[1])
    processor = transformers.SamProcessor.from_pretrained(tmp_path / "hf")
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    prepared = processor(images=photo, return_tensors="np")["pixel_values"]
    framed, framing = frame_image(photo, (96, 96))
    expected = normalise(framed[None], np.array([framing.fitted], np.int32))
    # Resizing in PyTorch differs from Pillow's by a level.
    np.testing.assert_allclose(prepared.transpose(0, 2, 3, 1), expected, atol=0.1)


def test_folders_for_hugging_face_are_refused_where_it_has_no_place(
    tmp_path, small, make_variables
):
    wide = small(image_size=(64, 96))
    with pytest.raises(InputError, match="takes square inputs, not 64 x 96 pixels"):
        save_checkpoint(tmp_path / "hf", wide, make_variables(wide))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file; weights for Hugging Face are a folder"):
        save_checkpoint(tmp_path / "file", small(), make_variables(small()))
    with pytest.raises(InputError, match="has no place for what these weights add"):
        convert_checkpoint(SHIPPED_WEIGHTS, tmp_path / "hf")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
