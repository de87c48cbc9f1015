from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from experiments.reference import official_model
from sam_jax.checkpoints import (
    convert_checkpoint,
    load_checkpoint,
    read_config,
    save_checkpoint,
)
from sam_jax.checkpoints.conversion import flatten
from sam_jax.checkpoints.tensors import LazyTensor
from sam_jax.types import InputError


def assert_equal_trees(actual, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, np.asarray(b), strict=True), actual, expected
    )


def test_official_file(tmp_path, small, official):
    torch.save(official.state_dict(), tmp_path / "sam.pth")
    config, variables = load_checkpoint(tmp_path / "sam.pth")
    assert config == small()
    assert {"params", "constants"} == set(variables)
    state = official.state_dict()
    leaves = flatten(variables)
    assert all(isinstance(leaf, np.ndarray) for leaf in leaves.values())
    assert all(leaf.dtype == np.float32 and leaf.flags.writeable for leaf in leaves.values())
    np.testing.assert_array_equal(
        variables["params"]["image_encoder"]["blocks_3"]["attn"]["qkv"]["kernel"],
        state["image_encoder.blocks.3.attn.qkv.weight"].T,
    )
    np.testing.assert_array_equal(
        variables["params"]["mask_decoder"]["output_upscaling"]["conv2"]["kernel"][1, 0, 2, 1],
        state["mask_decoder.output_upscaling.3.weight"][2, 1, 1, 0],
    )
    np.testing.assert_array_equal(
        variables["params"]["prompt_encoder"]["top_left_embed"],
        state["prompt_encoder.point_embeddings.2.weight"][0],
    )


def test_our_pth_loads_into_the_official_model(tmp_path, small, make_variables):
    variables = make_variables(small())
    save_checkpoint(tmp_path / "ours.pth", small(), variables)
    model = official_model(small())
    model.load_state_dict(torch.load(tmp_path / "ours.pth", weights_only=True), strict=True)
    torch.save(model.state_dict(), tmp_path / "theirs.pth")
    config, again = load_checkpoint(tmp_path / "theirs.pth")
    assert config == small()
    assert_equal_trees(again, variables)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("image_size", [(96, 96), (64, 160)])
def test_round_trip_is_bit_exact(tmp_path, small, make_variables, ending, image_size):
    config = small(image_size=image_size)
    variables = make_variables(config)
    variables["params"]["image_encoder"]["pos_embed"][0, 0, :3] = [-0.0, 1e-45, 3e38]
    save_checkpoint(tmp_path / f"a.{ending}", config, jax.tree.map(jnp.asarray, variables))
    config_again, again = load_checkpoint(tmp_path / f"a.{ending}")
    assert config_again == config
    bits = jax.tree.map(lambda leaf: leaf.view(np.uint32), (again, variables))
    assert_equal_trees(*bits)


def test_our_safetensors_are_ordinary(tmp_path, small, make_variables):
    variables = make_variables(small())
    save_checkpoint(tmp_path / "a.safetensors", small(), variables)
    leaves = flatten(variables)
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        assert set(file.keys()) == set(leaves)
        for name in leaves:
            np.testing.assert_array_equal(file.get_tensor(name), leaves[name])


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float64])
def test_other_precisions_are_kept_in_the_file_and_load_as_float32(
    tmp_path, small, make_variables, ending, dtype
):
    variables = jax.tree.map(lambda leaf: leaf.astype(dtype), make_variables(small()))
    path = tmp_path / f"a.{ending}"
    save_checkpoint(path, small(), variables)
    _, again = load_checkpoint(path)
    assert_equal_trees(again, jax.tree.map(lambda leaf: leaf.astype(np.float32), variables))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
    assert size < path.stat().st_size < size + 500 * len(flatten(variables))


def test_what_shapes_leave_open_is_stored(tmp_path, small, make_variables):
    config = small(image_size=(64, 64), global_blocks=(0,))  # the window is as large as the grid
    config = replace(config, mask_decoder=replace(config.mask_decoder, num_heads=2))
    variables = make_variables(config)
    save_checkpoint(tmp_path / "a.safetensors", config, variables)
    save_checkpoint(tmp_path / "a.pth", config, variables)
    assert load_checkpoint(tmp_path / "a.safetensors")[0] == config
    assert load_checkpoint(tmp_path / "a.pth")[0] != config
    assert load_checkpoint(tmp_path / "a.pth", config=config)[0] == config


def test_trained_with_torch_in_parallel(tmp_path, small, official):
    state = {f"module.{key}": tensor for key, tensor in official.state_dict().items()}
    torch.save({"model": state, "epoch": 7}, tmp_path / "a.pth")
    torch.save(official.state_dict(), tmp_path / "b.pth")
    config, variables = load_checkpoint(tmp_path / "a.pth")
    assert config == small()
    assert_equal_trees(variables, load_checkpoint(tmp_path / "b.pth")[1])


def test_content_and_not_the_ending_tells_the_format(tmp_path, small, official):
    state = official.state_dict()
    torch.save(state, tmp_path / "a.bin")
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / "b.pth")
    (config_a, a), (config_b, b) = (load_checkpoint(tmp_path / name) for name in ("a.bin", "b.pth"))
    assert config_a == config_b == small()
    assert_equal_trees(a, b)


@pytest.mark.parametrize("source", ["pth", "safetensors"])
@pytest.mark.parametrize("destination", ["pth", "safetensors"])
def test_convert_is_load_and_save(tmp_path, small, make_variables, source, destination):
    save_checkpoint(tmp_path / f"a.{source}", small(), make_variables(small()))
    sizes = {"image_size": (64, 128)}
    convert_checkpoint(tmp_path / f"a.{source}", tmp_path / f"b.{destination}", **sizes)
    config, variables = load_checkpoint(tmp_path / f"a.{source}", **sizes)
    save_checkpoint(tmp_path / f"c.{destination}", config, variables)
    b, c = ((tmp_path / f"{name}.{destination}").read_bytes() for name in "bc")
    assert b == c


def test_safetensors_that_lost_their_metadata(tmp_path, small, make_variables):
    variables = make_variables(small())
    tensors = {name: torch.from_numpy(leaf) for name, leaf in flatten(variables).items()}
    save_file(tensors, tmp_path / "a.safetensors")
    config, again = load_checkpoint(tmp_path / "a.safetensors")
    assert config == small()
    assert_equal_trees(again, variables)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float64])
def test_positions_of_other_precisions_are_interpolated(tmp_path, small, make_variables, dtype):
    variables = jax.tree.map(lambda leaf: leaf.astype(dtype), make_variables(small()))
    save_checkpoint(tmp_path / "a.safetensors", small(), variables)
    widened = jax.tree.map(lambda leaf: leaf.astype(np.float32), variables)
    save_checkpoint(tmp_path / "b.safetensors", small(), widened)
    a, b = (
        load_checkpoint(tmp_path / f"{name}.safetensors", image_size=(64, 160)) for name in "ab"
    )
    assert_equal_trees(a[1], b[1])


@pytest.mark.parametrize("image_size", [(64, 160), 128, (32, 16)])
def test_positions_are_interpolated_as_torch_does(tmp_path, small, make_variables, image_size):
    config = small(image_size=(96, 80))
    variables = make_variables(config)
    save_checkpoint(tmp_path / "a.pth", config, variables)
    resized_config, resized = load_checkpoint(tmp_path / "a.pth", image_size=image_size)
    height, width = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    assert resized_config == small(image_size=(height, width))
    expected = jax.tree.map(np.copy, variables)
    encoder = expected["params"]["image_encoder"]
    grid = height // 16, width // 16
    table = torch.from_numpy(encoder["pos_embed"]).permute(2, 0, 1)[None]
    table = torch.nn.functional.interpolate(table, grid, mode="bilinear", align_corners=False)
    encoder["pos_embed"] = table[0].permute(1, 2, 0).numpy()
    for block in config.image_encoder.global_blocks:
        attention = encoder[f"blocks_{block}"]["attn"]
        for name, side in zip(("rel_pos_h", "rel_pos_w"), grid, strict=True):
            table = torch.from_numpy(attention[name]).T[None]
            table = torch.nn.functional.interpolate(table, 2 * side - 1, mode="linear")
            attention[name] = table[0].T.numpy()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=3e-6), resized, expected)
    shapes = {path: leaf.shape for path, leaf in flatten(resized).items()}
    assert shapes["params/image_encoder/pos_embed"] == (*grid, 24)
    assert shapes["params/image_encoder/blocks_0/attn/rel_pos_h"] == (7, 8)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("image_size", [None, (64, 128)], ids=["as it is", "resized"])
def test_tensors_are_read_once(tmp_path, small, make_variables, monkeypatch, ending, image_size):
    save_checkpoint(tmp_path / f"a.{ending}", small(), make_variables(small()))
    reads = []
    read = LazyTensor.__array__

    def count(tensor, *options, **more):
        reads.append(id(tensor))
        return read(tensor, *options, **more)

    monkeypatch.setattr(LazyTensor, "__array__", count)
    read_config(tmp_path / f"a.{ending}")
    assert reads == []
    load_checkpoint(tmp_path / f"a.{ending}", image_size=image_size)
    assert max(Counter(reads).values()) == 1


def test_a_given_config_decides_the_image_size(tmp_path, small, make_variables):
    save_checkpoint(tmp_path / "a.pth", small(), make_variables(small()))
    wanted = small(image_size=(64, 160))
    config, variables = load_checkpoint(tmp_path / "a.pth", config=wanted)
    assert config == wanted
    assert_equal_trees(variables, load_checkpoint(tmp_path / "a.pth", image_size=(64, 160))[1])


@pytest.mark.parametrize("image_size", [100, (96, 8), 0, (-16, 16)])
def test_refuses_image_sizes_that_are_no_grid(tmp_path, small, make_variables, image_size):
    save_checkpoint(tmp_path / "a.pth", small(), make_variables(small()))
    with pytest.raises(InputError, match=r"multiples of the patch size|a height and a width"):
        load_checkpoint(tmp_path / "a.pth", image_size=image_size)
