"""The text projection in files: kept in ours, refused in official ones, and fresh where a run starts without it."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from sam_jax.checkpoints import (
    convert_checkpoint,
    load_checkpoint,
    load_first_weights,
    name_variant,
    save_checkpoint,
)
from sam_jax.checkpoints.conversion import flatten, leaves_to_official
from sam_jax.models import VIT_H, init_variables
from sam_jax.types import CheckpointError, InputError


@pytest.fixture
def with_text(small):
    return replace(small(), prompt_encoder=replace(small().prompt_encoder, text_width=6))


def equal(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def test_our_file_keeps_it(tmp_path, with_text, make_variables):
    variables = make_variables(with_text)
    save_checkpoint(tmp_path / "a.safetensors", with_text, variables)
    config, again = load_checkpoint(tmp_path / "a.safetensors")
    assert config == with_text
    assert equal(again, variables)


def test_it_is_recognised_without_a_description(tmp_path, with_text, make_variables):
    variables = make_variables(with_text)
    state = {
        name: np.ascontiguousarray(leaf)
        for name, leaf in leaves_to_official(flatten(variables)).items()
    }
    assert state["prompt_encoder.text_projection.weight"].shape == (16, 6)
    save_file(state, tmp_path / "a.safetensors")
    config, again = load_checkpoint(tmp_path / "a.safetensors")
    assert config == with_text
    assert equal(again, variables)


def test_official_formats_have_no_place_for_it(tmp_path, small, with_text, make_variables):
    variables = make_variables(with_text)
    save_checkpoint(tmp_path / "a.safetensors", with_text, variables)
    for name in ("a.pth", "folder"):
        with pytest.raises(InputError, match="no place for the text projection; write these"):
            convert_checkpoint(tmp_path / "a.safetensors", tmp_path / name)
        assert not (tmp_path / name).exists()
    save_checkpoint(tmp_path / "b.pth", small(), make_variables(small()))
    with pytest.raises(CheckpointError, match=r"2 missing \(prompt_encoder.text_projection.bias"):
        load_checkpoint(tmp_path / "b.pth", config=with_text)


def test_names():
    config = replace(VIT_H, prompt_encoder=replace(VIT_H.prompt_encoder, text_width=768))
    assert name_variant(config) == "vit_h with text prompts"


def test_a_run_starts_from_an_ordinary_model(tmp_path, small, with_text, make_variables):
    plain = make_variables(small())
    save_checkpoint(tmp_path / "a.safetensors", small(), plain)
    variables, account = load_first_weights(tmp_path / "a.safetensors", with_text, seed=3)
    projection = variables["params"]["prompt_encoder"].pop("text_projection")
    assert equal(variables, plain)
    drawn = init_variables(with_text, 3)["params"]["prompt_encoder"]["text_projection"]
    assert equal(projection, drawn)
    assert str(account).endswith("of a Segment Anything; left fresh prompt_encoder/text_projection")


def test_a_run_starts_from_a_projection_of_its_own_width_only(
    tmp_path, small, with_text, make_variables
):
    variables = make_variables(with_text)
    save_checkpoint(tmp_path / "a.safetensors", with_text, variables)
    again, account = load_first_weights(tmp_path / "a.safetensors", with_text)
    assert account is None
    assert equal(again, variables)
    other = replace(small(), prompt_encoder=replace(small().prompt_encoder, text_width=5))
    for config, width in ((other, "5"), (small(), "None")):
        with pytest.raises(InputError, match=f"text_width is 6 in one and {width} in the other"):
            load_first_weights(tmp_path / "a.safetensors", config)
