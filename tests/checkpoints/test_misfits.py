"""Files that are no checkpoint, or not of this model: one line says all that is wrong."""

import json
import tarfile
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sam_jax.checkpoints import convert_checkpoint, load_checkpoint, save_checkpoint
from sam_jax.checkpoints.conversion import flatten
from sam_jax.models import TINY
from sam_jax.types import CheckpointError


@pytest.fixture
def state(official):
    return dict(official.state_dict())


def refusal(path, state) -> str:
    torch.save(state, path)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_all_are_told_together(tmp_path, state):
    del (
        state["image_encoder.blocks.1.norm1.bias"],
        state["mask_decoder.transformer.layers.0.norm2.bias"],
    )
    state["mask_decoder.text_token.weight"] = torch.ones(1, 16)
    state["prompt_encoder.no_mask_embed.weight"] = torch.ones(1, 17)
    state["mask_decoder.mask_tokens.weight"] = torch.ones(3, 16, dtype=torch.int32)
    path = tmp_path / "sam.pth"
    assert refusal(path, state) == (
        f"{path} does not fit SAM of width 24 and depth 5: "
        "2 missing (image_encoder.blocks.1.norm1.bias, mask_decoder.transformer.layers.0.norm2.bias), "
        "1 unexpected (mask_decoder.text_token.weight), "
        "1 misshapen (prompt_encoder.no_mask_embed.weight: (1,17) instead of (1,16)), "
        "1 not floating-point (mask_decoder.mask_tokens.weight: int32)"
    )


def test_all_that_is_not_finite_is_told_together(tmp_path, state):
    state["image_encoder.neck.1.bias"] = torch.full([16], torch.nan)
    state["image_encoder.neck.1.weight"] = torch.full([16], 1e300, dtype=torch.float64)
    path = tmp_path / "sam.pth"
    assert refusal(path, state) == (
        f"{path} does not fit SAM of width 24 and depth 5: "
        "2 with NaN or infinity (image_encoder.neck.1.bias, image_encoder.neck.1.weight)"
    )
    with pytest.raises(CheckpointError, match="2 with NaN or infinity"):
        convert_checkpoint(path, tmp_path / "b.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["sam.pth"]


def test_other_patches(tmp_path, state):
    state["image_encoder.patch_embed.proj.weight"] = torch.ones(24, 3, 8, 8)
    path = tmp_path / "sam.pth"
    assert refusal(path, state) == (
        f"{path} has patches of 8 pixels; only the 16 of published models are supported"
    )


def test_long_lists_are_cut(tmp_path, state):
    state = {key: tensor for key, tensor in state.items() if not key.endswith("norm2.bias")}
    message = refusal(tmp_path / "sam.pth", state)
    assert "6 missing (" in message
    assert "and 1 more)" in message


def test_a_wrong_telling_tensor(tmp_path, make_variables):
    """The tensor that is measured is the damaged one: the rest still shows what the model is."""
    plain = replace(TINY, fine=None)
    save_checkpoint(tmp_path / "tiny.pth", plain, make_variables(plain))
    state = torch.load(tmp_path / "tiny.pth", weights_only=True)
    state["image_encoder.neck.0.weight"] = torch.ones(7, 192, 1, 1)
    message = refusal(tmp_path / "a.pth", state)
    assert (
        "does not fit tiny without additions: 1 misshapen (image_encoder.neck.0.weight: (7,192,1,1) ins"
        in message
    )
    del state["image_encoder.neck.0.weight"]
    assert (
        "does not fit tiny without additions: 1 missing (image_encoder.neck.0.weight)"
        in refusal(tmp_path / "a.pth", state)
    )


@pytest.mark.parametrize("shape", [(), (3,), (24,)])
def test_tensors_of_another_rank(tmp_path, state, shape):
    state["image_encoder.blocks.0.attn.qkv.weight"] = torch.ones(shape)
    assert "1 misshapen (image_encoder.blocks.0.attn.qkv.weight" in refusal(
        tmp_path / "a.pth", state
    )


def test_another_model(tmp_path):
    state = {"conv1.weight": torch.ones(2, 3, 7, 7), "fc.bias": torch.ones(10)}
    assert "is not a Segment Anything checkpoint: no key starts with image_encoder." in refusal(
        tmp_path / "resnet.pth", state
    )


@pytest.mark.parametrize(
    ("relative", "key", "keeps_encoder"),
    [
        ("SAM-HQ", "mask_decoder.hf_token.weight", True),
        ("SAM-HQ", "module.mask_decoder.hf_mlp.layers.0.weight", True),
        ("SAM 2", "model/image_encoder.trunk.blocks.0.norm1.weight", False),
        ("SAM 2", "sam_mask_decoder.iou_token.weight", False),
        ("MobileSAM", "image_encoder.patch_embed.seq.0.c.weight", False),
        ("EfficientSAM", "prompt_encoder.invalid_points.weight", True),
        ("EdgeSAM or RepViT-SAM", "image_encoder.features.0.0.c.weight", False),
        ("EfficientViT-SAM", "image_encoder.backbone.input_stem.op_list.0.conv.weight", False),
    ],
)
def test_relatives_of_the_model_are_named(tmp_path, state, relative, key, keeps_encoder):
    kept = {
        name: tensor
        for name, tensor in state.items()
        if keeps_encoder or not name.startswith("image_encoder.")
    }
    *folder, name = key.split("/")
    prefix = "module." if name.startswith("module.") else ""
    value = {prefix + kept_name: tensor for kept_name, tensor in kept.items()}
    value[name] = torch.ones(4, 4)
    message = refusal(tmp_path / "relative.pth", {folder[0]: value} if folder else value)
    assert message.endswith(
        f"holds {relative}, a relative of Segment Anything, which is not supported"
    )


def test_an_unknown_relative_of_the_model(tmp_path, state):
    other = {key: t for key, t in state.items() if not key.startswith("image_encoder.")}
    other["image_encoder.stem.weight"] = torch.ones(32, 3, 3, 3)
    message = refusal(tmp_path / "other.pth", other)
    assert "is not a Segment Anything checkpoint: its image encoder is another one" in message


def test_a_given_config(tmp_path, small, state):
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"1 unexpected|unexpected"):
        load_checkpoint(tmp_path / "a.pth", config=small(depth=4, global_blocks=(1, 3)))


def test_our_safetensors(tmp_path, small, make_variables):
    variables = make_variables(small())
    leaves = {name: torch.from_numpy(leaf) for name, leaf in flatten(variables).items()}
    save_checkpoint(tmp_path / "a.safetensors", small(), variables)
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        metadata = file.metadata()
    del leaves["params/image_encoder/neck/conv2/kernel"]
    leaves["params/other"] = torch.ones(1)
    save_file(leaves, tmp_path / "b.safetensors", metadata)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(tmp_path / "b.safetensors")
    assert str(error.value).endswith(
        "1 missing (params/image_encoder/neck/conv2/kernel), 1 unexpected (params/other)"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["image_encoder"].update(flavour=3), "unknown flavour; a later version"),
        (lambda c: c["image_encoder"].update(depth="5"), "'5' is not int"),
        (lambda c: c["image_encoder"].update(depth=True), "True is not int"),
        (lambda c: c["image_encoder"].update(depth=10**9), "it has no more than 176 tensors"),
        (lambda c: c["image_encoder"].update(image_size=[96]), "damaged"),
        (lambda c: c["image_encoder"].update(num_heads=5), "not divisible by num_heads 5"),
        (lambda c: c.pop("image_encoder"), "damaged"),
        (lambda c: c.update(image_encoder=3), "damaged"),
    ],
)
def test_stored_configuration(tmp_path, small, make_variables, change, message):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, small(), make_variables(small()))
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    change(config)
    save_file(tensors, path, {"format": "sam_jax", "config": json.dumps(config)})
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(path)
    assert "\n" not in str(error.value)


def test_no_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"no such file: .*sam\.pth"):
        load_checkpoint(tmp_path / "sam.pth")


def test_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a folder without config\.json"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n", "is not a checkpoint"),
        (b"hello", "is not a checkpoint"),
        (b"\x10\0\0\0\0\0\0\0{" + bytes(15), "truncated or damaged"),
        (b"\xff\xff\xff\xff\0\0\0\0{}", "truncated or damaged"),
        (b"PK\x03\x04", "truncated or damaged"),
    ],
)
def test_other_files(tmp_path, content, message):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_older_torch_format(tmp_path):
    with tarfile.open(tmp_path / "a.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("sys_info"))
    with pytest.raises(CheckpointError, match=r"tar archive, as PyTorch wrote before 0\.1\.10"):
        load_checkpoint(tmp_path / "a.pth")


def test_truncated_safetensors(tmp_path, small, make_variables):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, small(), make_variables(small()))
    whole = path.read_bytes()
    for length in (9, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="truncated or damaged"):
            load_checkpoint(path)
