import os

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
    for arguments, size in ((["96"], (96, 96)), (["64", "128"], (64, 128))):
        assert main([*command, *arguments]) == 0
        config, _ = load_checkpoint(tmp_path / "wide.safetensors")
        assert config.image_encoder.image_size == size


def test_bad_input_is_refused_and_leaves_no_file(complaint, weights, tmp_path):
    good = tmp_path / "new.safetensors"
    assert "no weights in this package yet" in complaint("convert", "default", good)
    assert "no such file" in complaint("convert", tmp_path / "none.pth", good)
    assert ".safetensors or .pth" in complaint("convert", weights, tmp_path / "new.bin")
    assert "patch" in complaint("convert", weights, good, "--image-size", "100")
    assert os.listdir(tmp_path) == []
