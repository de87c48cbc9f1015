import os
import zipfile
from dataclasses import replace

import numpy as np
import onnxruntime

import sam_jax
from sam_jax.checkpoints import load_checkpoint, save_checkpoint
from sam_jax.cli.main import main
from sam_jax.export.exported import WEIGHTS


def test_onnx_of_both_parts(weights, tmp_path, capsys):
    destination = tmp_path / "sam.onnx"
    command = ["export", str(weights), str(destination), "--part", "both", "--masks", "single"]
    assert main([*command, "--outputs", "low", "--raw"]) == 0
    lines = capsys.readouterr().out.splitlines()
    files = [tmp_path / "sam_encoder.onnx", tmp_path / "sam_decoder.onnx"]
    assert [line.split(":")[0] for line in lines] == [f"wrote {file}" for file in files]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    encoder, decoder = (onnxruntime.InferenceSession(file) for file in files)
    [embedding] = encoder.run(None, {"input_image": np.zeros((50, 70, 3), np.float32)})
    [given] = [x for x in decoder.get_inputs() if x.name == "image_embeddings"]
    assert list(embedding.shape) == given.shape
    assert [x.name for x in decoder.get_outputs()] == ["iou_predictions", "low_res_masks"]


def test_stablehlo_of_another_size_and_without_text(weights, tmp_path, capsys):
    config, variables = load_checkpoint(weights)
    config = replace(config, prompt_encoder=replace(config.prompt_encoder, text_width=3))
    projection = {"kernel": np.ones((3, 32), np.float32), "bias": np.zeros(32, np.float32)}
    variables["params"]["prompt_encoder"]["text_projection"] = projection
    source, destination = tmp_path / "text.safetensors", tmp_path / "sam.stablehlo"
    save_checkpoint(source, config, variables)
    assert main(["export", str(source), str(destination), "--image-size", "64,96"]) == 0
    assert capsys.readouterr().out.startswith("text prompts are left out: an exported decoder")
    assert sam_jax.load_exported(destination).image_size == (64, 96)
    with zipfile.ZipFile(destination) as archive:
        assert b"mask_tokens" in archive.read(WEIGHTS)
        assert b"text_projection" not in archive.read(WEIGHTS)


def test_bad_input_is_refused_and_leaves_no_file(complaint, weights, tmp_path):
    good = tmp_path / "sam.onnx"
    assert "no such file" in complaint("export", tmp_path / "none.pth", good)
    assert "cannot tell the format" in complaint("export", weights, tmp_path / "sam.tflite")
    assert "float32 or float16" in complaint("export", weights, good, "--dtype", "bfloat16")
    assert "only for .onnx" in complaint("export", weights, tmp_path / "sam.stablehlo", "--raw")
    assert "no such file" in complaint("export", good, tmp_path / "other.onnx")
    assert "name a file DST to write" in complaint("export", "default")
    assert "name its folder with --page" in complaint("export", weights, good, "--photos", "a.png")
    assert os.listdir(tmp_path) == []
    good.write_text("mine")
    assert f"{good} exists" in complaint("export", weights, good)
    assert "is not a checkpoint" in complaint("export", good, tmp_path / "other.onnx")
    assert os.listdir(tmp_path) == ["sam.onnx"]
