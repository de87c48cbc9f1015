"""Checkpoints as people have them: saved by PyTorch within all that training scripts put around the weights."""

import argparse
import contextlib
import datetime
import os
import pathlib
import random
import sys
from collections import OrderedDict, defaultdict

import jax
import numpy as np
import pytest
import torch

from sam_jax.checkpoints import convert_checkpoint, load_checkpoint, read_origin, read_pth
from sam_jax.types import CheckpointError


class Hyperparameters(dict):
    """As Lightning's `AttributeDict`, a dictionary of a class of its own."""


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


class Parts(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.image_encoder = torch.nn.Linear(2, 3)


def assert_is(path, published, weights=None):
    """The file loads, to the very numbers of the published model."""
    modules = set(sys.modules)
    _, variables = load_checkpoint(path)
    assert all(name.startswith("encodings.") for name in set(sys.modules) - modules)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, b, strict=True),
        variables,
        published[1] if weights is None else weights,
    )


def behind(prefix, state):
    return {prefix + key: tensor for key, tensor in state.items()}


def trained(state, **more):
    """A training checkpoint with much in it that isn't weights."""
    weight = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    return {
        "epoch": np.int64(7),
        "best_loss": np.float32(0.25),
        "history": np.arange(4.0),
        "args": argparse.Namespace(lr=1e-4, output=pathlib.PurePosixPath("runs"), sizes={1, 2}),
        "hyper_parameters": Hyperparameters(rate=0.1, when=datetime.date(2024, 1, 2)),
        "counts": defaultdict(list, a=[1]),
        "random": [random.getstate(), np.random.default_rng(0), torch.get_rng_state()],
        "odd": (torch.ones(2, dtype=torch.complex64), torch.eye(2).to_sparse(), torch.float16),
        "bytes": [b"abc", bytearray(b"d"), frozenset({3}), 2**80, -1.5, None, slice(1, 2)],
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": schedule.state_dict(),
        **more,
        "model": state,
    }


def lightning(state):
    return {
        "epoch": 3,
        "global_step": 120,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": OrderedDict(
            behind("model.", state)
            | {"criterion.weight": torch.ones(2), "metric.sum": torch.ones(1)}
        ),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {
            "ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": torch.tensor(0.5)}
        },
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}],
        "hparams_name": "kwargs",
        "hyper_parameters": Hyperparameters(model=argparse.Namespace(name="vit_b")),
    }


def micro_sam(state):
    decoder = {"decoder.blocks.0.weight": torch.ones(2, 2), "out_conv.bias": torch.ones(3)}
    return OrderedDict(state) | {"decoder_state": OrderedDict(decoder)}


FILES = {
    "model.": (lambda s: behind("model.", s), "model.", ()),
    "sam.": (lambda s: behind("sam.", s) | {"decoder.weight": torch.ones(2)}, "sam.", ("decoder",)),
    "compiled": (lambda s: behind("_orig_mod.", s), "_orig_mod.", ()),
    "nested prefixes": (
        lambda s: {"net": behind("module.model.sam._orig_mod.", s)},
        "net/module.model.sam._orig_mod.",
        (),
    ),
    "compiled parts": (
        lambda s: {k.replace("_encoder.", "_encoder._orig_mod.", 1): t for k, t in s.items()},
        "",
        (),
    ),
    "sharded parts": (
        lambda s: {
            k.replace("blocks.1.", "blocks.1._fsdp_wrapped_module."): t for k, t in s.items()
        },
        "",
        (),
    ),
    "any key": (lambda s: {"student_weights": s, "step": 5}, "student_weights/", ("step",)),
    "two keys": (lambda s: {"state": {"net": s}, "version": "1"}, "state/net/", ("version",)),
    "a number as key": (lambda s: {0: s}, "0/", ()),
    "parts apart": (
        lambda s: {
            part: {
                key.removeprefix(f"{part}."): tensor
                for key, tensor in s.items()
                if key.startswith(part)
            }
            for part in ("image_encoder", "prompt_encoder", "mask_decoder")
        },
        "",
        (),
    ),
    "constants": (
        lambda s: behind(
            "module.", s | {"pixel_mean": torch.ones(3, 1, 1), "pixel_std": torch.ones(3)}
        ),
        "module.",
        ("pixel_mean", "pixel_std"),
    ),
    "operations counted": (
        lambda s: (
            s | {"total_ops": torch.zeros(1), "image_encoder.neck.0.total_params": torch.zeros(1)}
        ),
        "",
        ("total_ops", "image_encoder"),
    ),
    "trained": (
        trained,
        "model/",
        (
            *("optimizer", "epoch (numpy._core.multiarray.scalar)"),
            *(
                "best_loss (numpy._core.multiarray.scalar)",
                "history (numpy._core.multiarray._reconstruct)",
            ),
            *("args (argparse.Namespace)", "hyper_parameters (test_selection.Hyperparameters)"),
            *("counts (collections.defaultdict)", "random", "odd", "bytes", "lr_scheduler"),
        ),
    ),
    "Lightning's": (
        lightning,
        "state_dict/model.",
        (
            *("state_dict/criterion", "state_dict/metric", "callbacks", "epoch", "global_step"),
            *("pytorch-lightning_version", "loops", "optimizer_states", "hparams_name"),
            "hyper_parameters (test_selection.Hyperparameters)",
        ),
    ),
    "micro-sam's": (micro_sam, "", ("decoder_state",)),
    "averaged": (
        lambda s: {"model": s, "model_ema": {k: 0 * t for k, t in s.items()}},
        "model/",
        ("model_ema",),
    ),
    "averaged by PyTorch": (
        lambda s: behind("module.", s) | {"n_averaged": torch.tensor(5)},
        "module.",
        ("n_averaged",),
    ),
    "parameters": (lambda s: {k: torch.nn.Parameter(t) for k, t in s.items()}, "", ()),
}


@pytest.mark.parametrize("kind", FILES)
def test_weights_are_found(tmp_path, published, kind):
    make, prefix, left_out = FILES[kind]
    torch.save(make(published[0]), tmp_path / "a.pt")
    assert_is(tmp_path / "a.pt", published)
    origin = read_origin(tmp_path / "a.pt")
    assert origin.prefix == prefix
    assert sorted(_own_name(origin.left_out)) == sorted(left_out)


@pytest.mark.parametrize("kind", ["trained", "Lightning's", "parts apart", "parameters"])
def test_weights_are_found_in_files_from_before_pytorch_1_6(tmp_path, published, kind):
    value = FILES[kind][0](published[0])
    torch.save(value, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    torch.save(value, tmp_path / "b.pt")
    assert_is(tmp_path / "a.pt", published)
    assert read_origin(tmp_path / "a.pt") == read_origin(tmp_path / "b.pt")


def _own_name(left_out):
    """This module's name is another one in another way of running tests."""
    return [text.replace(f"({__name__}.", "(test_selection.") for text in left_out]


@pytest.mark.parametrize(("protocol", "is_old"), [(3, True), (4, False), (5, True)])
def test_every_protocol_of_pickles(tmp_path, published, protocol, is_old):
    torch.save(
        trained(published[0]),
        tmp_path / "a.pt",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=not is_old,
    )
    assert_is(tmp_path / "a.pt", published)


def test_repeated_numbers(tmp_path, published):
    """`expand` makes tensors of stride 0."""
    state = dict(published[0])
    state["image_encoder.neck.1.bias"] = torch.tensor(0.5).expand(16)
    state["image_encoder.blocks.1.mlp.lin1.weight"] = torch.arange(24.0).expand(72, 24)
    torch.save({k: t.clone() for k, t in state.items()}, tmp_path / "plain.pth")
    torch.save(state, tmp_path / "expanded.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    weights = load_checkpoint(tmp_path / "plain.pth")[1]
    for name in ("expanded.pth", "old.pth"):
        assert_is(tmp_path / name, published, weights)


def test_tensors_with_attributes_and_halves(tmp_path, published):
    state = {key: tensor.half() for key, tensor in published[0].items()}
    for tensor in state.values():
        tensor.source = "trained"
    torch.save(state, tmp_path / "a.pth")
    weights = jax.tree.map(lambda leaf: leaf.astype(np.float16).astype(np.float32), published[1])
    assert_is(tmp_path / "a.pth", published, weights)


def test_converting_takes_the_weights_alone(tmp_path, published):
    torch.save(lightning(published[0]), tmp_path / "last.ckpt")
    convert_checkpoint(tmp_path / "last.ckpt", tmp_path / "sam.pth")
    assert torch.load(tmp_path / "sam.pth", weights_only=True).keys() == published[0].keys()
    assert_is(tmp_path / "sam.pth", published)
    assert read_origin(tmp_path / "sam.pth") == ("", ())


@pytest.mark.parametrize("is_old", [False, True], ids=["archive", "before 1.6"])
def test_nothing_beside_the_weights_runs(tmp_path, published, is_old):
    marker = tmp_path / "marker"
    state = dict(published[0])
    path = tmp_path / "a.pt"
    torch.save({"x": Evil(marker), "model": state}, path, _use_new_zipfile_serialization=not is_old)
    assert_is(path, published)
    assert read_origin(path).left_out == ("x (posix.system)",)
    state["image_encoder.neck.1.bias"] = Evil(marker)
    torch.save(state, path, _use_new_zipfile_serialization=not is_old)
    with pytest.raises(CheckpointError, match=r"1 missing \(image_encoder\.neck\.1\.bias\)"):
        load_checkpoint(path)
    torch.save(Evil(marker), path, _use_new_zipfile_serialization=not is_old)
    with pytest.raises(
        CheckpointError, match=r"no state dict but objects of posix\.system; nothing was run"
    ):
        load_checkpoint(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()  # the attack is real


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("is_old", [False, True], ids=["archive", "before 1.6"])
def test_whole_models_are_refused_by_name(tmp_path, is_old):
    for value in (Parts(), {"model": Parts(), "epoch": 3}):
        torch.save(value, tmp_path / "a.pt", _use_new_zipfile_serialization=not is_old)
        with pytest.raises(
            CheckpointError, match=r"objects of [\w.]*Parts.*save the state_dict alone"
        ):
            load_checkpoint(tmp_path / "a.pt")


def test_unknown_tensors_beside_the_weights_are_refused(tmp_path, published):
    """They may change what the model computes, as adapters do."""
    for key in ("adapter.0.weight", "image_encoder.blocks.0.attn.qkv.linear_a_q.weight"):
        state = behind("model.", published[0] | {key: torch.ones(2)})
        torch.save({"state_dict": state}, tmp_path / "a.pt")
        with pytest.raises(CheckpointError, match=rf"1 unexpected \({key}\)"):
            load_checkpoint(tmp_path / "a.pt")


def test_names_in_messages_are_on_one_line_and_give_the_terminal_no_orders(tmp_path, published):
    torch.save({"a\n\x1b[31m": 5, "b" * 999: 5, "model": published[0]}, tmp_path / "a.pt")
    assert read_origin(tmp_path / "a.pt").left_out == ("a??[31m", "b" * 100)
    torch.save(published[0] | {"image_encoder.\n\x1b[31m": torch.ones(1)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"1 unexpected \(image_encoder\.\?\?\[31m\)"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("is_old", [False, True], ids=["archive", "before 1.6"])
def test_names_of_all_tensors(tmp_path, is_old):
    value = {
        "a": {"b.weight": torch.ones(2)},
        "c": torch.zeros(3)[::2],
        "d": [torch.ones(1)],
        "e": 5,
    }
    torch.save(value, tmp_path / "a.pt", _use_new_zipfile_serialization=not is_old)
    arrays = read_pth(tmp_path / "a.pt")
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "c": [0, 0],
        "a/b.weight": [1, 1],
    }


@pytest.mark.parametrize("part", [0, 1, 4, 9])
def test_an_old_file_damaged_anywhere(tmp_path, published, part):
    state = dict(list(published[0].items())[:6])
    torch.save(trained(state), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: len(whole) * part // 10])
    with pytest.raises(CheckpointError, match=r"a\.pt: |is empty") as error:
        load_checkpoint(tmp_path / "a.pt")
    assert "\n" not in str(error.value)
    draw = np.random.default_rng(part)
    for _ in range(12):
        damaged = bytearray(whole)
        damaged[draw.integers(len(whole))] = draw.integers(256)
        (tmp_path / "a.pt").write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            read_pth(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "value",
    [
        b"\x8e" + (2**62).to_bytes(8, "little"),
        b"\x8d" + (2**62).to_bytes(8, "little"),
        b"S'\\o'\n.",
    ],
)
def test_an_old_file_whose_lengths_or_texts_are_damaged(tmp_path, value):
    """More bytes than there are aren't asked for, and odd escapes are no warnings."""
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "a.pt").read_bytes()
    start = whole.index(b".", whole.index(b".") + 1) + 1  # behind the number and the version
    (tmp_path / "a.pt").write_bytes(whole[:start] + b"\x80\x02" + value)
    with pytest.raises(CheckpointError, match=r"its pickle is damaged|truncated or damaged"):
        read_pth(tmp_path / "a.pt")


def test_one_dictionary_in_many_places(tmp_path):
    """Followed along each of its paths, thirty dictionaries would be a thousand million."""
    inner = {"w": torch.ones(1)}
    for _ in range(30):
        inner = {"a": inner, "b": inner}
    torch.save({"deep": inner, "v": torch.ones(2)}, tmp_path / "a.pt")
    assert list(read_pth(tmp_path / "a.pt")) == ["v"]


def test_a_small_file_of_large_tensors(tmp_path, published):
    state = dict(published[0])
    for key in ("image_encoder.pos_embed", "image_encoder.patch_embed.proj.weight"):
        state[key] = torch.zeros(1).expand(1, 20000, 20000, 24)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="repeat few numbers more often than any model"):
        load_checkpoint(tmp_path / "a.pth")
