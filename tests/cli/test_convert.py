import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax import TINY, load
from sam_jax.checkpoints import load_checkpoint
from sam_jax.cli.main import main


def test_to_official_names_and_back_is_exact(weights, tmp_path, capsys):
    official, again = tmp_path / "official.pth", tmp_path / "again.safetensors"
    assert main(["convert", str(weights), str(official)]) == 0
    assert f"wrote {official}" in capsys.readouterr().out
    assert main(["convert", str(official), str(again)]) == 0
    assert again.read_bytes() == weights.read_bytes()


def test_to_another_input_size(weights, tmp_path):
    command = ["convert", str(weights), str(tmp_path / "wide.safetensors"), "--image-size"]
    for arguments, size in ((["96"], (96, 96)), (["64,128"], (64, 128))):
        assert main([*command, *arguments]) == 0
        config, _ = load_checkpoint(tmp_path / "wide.safetensors")
        assert config.image_encoder.image_size == size


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_to_half_the_bytes(weights, tmp_path, dtype, ending):
    small = tmp_path / f"small.{ending}"
    assert main(["convert", str(weights), str(small), "--dtype", dtype]) == 0
    assert small.stat().st_size < 0.65 * weights.stat().st_size
    config, variables = load_checkpoint(small)
    expected_config, expected = load_checkpoint(weights)
    assert config.image_encoder == expected_config.image_encoder
    for leaf, other in zip(jax.tree.leaves(variables), jax.tree.leaves(expected), strict=True):
        assert leaf.dtype == np.float32
        np.testing.assert_array_equal(leaf, other.astype(jnp.dtype(dtype)).astype(np.float32))


def test_what_comes_with_the_package(tmp_path):
    assert main(["convert", "default", str(tmp_path / "tiny.safetensors")]) == 0
    config, variables = load_checkpoint(tmp_path / "tiny.safetensors")
    assert config == TINY
    jax.tree.map(np.testing.assert_array_equal, variables, dict(load().variables))


def test_bad_input_is_refused_and_leaves_no_file(complaint, weights, tmp_path):
    good = tmp_path / "new.safetensors"
    assert "no such file" in complaint("convert", tmp_path / "none.pth", good)
    assert ".safetensors or .pth" in complaint("convert", weights, tmp_path / "new.bin")
    assert "has no place for what these weights add" in complaint(
        "convert", "default", tmp_path / "new.pth"
    )
    assert "patch" in complaint("convert", weights, good, "--image-size", "100")
    assert os.listdir(tmp_path) == []
