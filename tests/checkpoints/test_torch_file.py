import os
import pickle
import sys
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch

from sam_jax.checkpoints import read_pth, write_pth
from sam_jax.checkpoints.torch_pickle import parse, serialize
from sam_jax.checkpoints.torch_records import TensorRecord
from sam_jax.types import CheckpointError

FLOAT = np.dtype(np.float32)


def _archive(path: Path, stream: bytes, values: bytes = bytes(24), **kwargs) -> Path:
    with zipfile.ZipFile(path, "w", **kwargs) as archive:
        archive.writestr("archive/data.pkl", stream)
        archive.writestr("archive/data/0", values)
    return path


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    """Every kind of tensor that turns up in state dicts."""
    torch.manual_seed(0)
    base = torch.randn(5, 7)
    return {
        "plain": torch.randn(3, 4, 2),
        "half": torch.randn(3, 5).half(),
        "brain": torch.randn(2, 5).bfloat16(),
        "double": torch.randn(4).double(),
        "long": torch.arange(5),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "transposed": torch.randn(3, 5).T,
        "slice": base[1:4, ::2],
        "tied to slice": base,
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
    }


@pytest.mark.parametrize("key", [None, "model", "state_dict"])
def test_reads_what_torch_saves(tmp_path, tensors, key):
    torch.save({key: tensors, "epoch": 3, "rate": 0.1} if key else tensors, tmp_path / "a.pth")
    arrays = read_pth(tmp_path / "a.pth")
    if key:
        arrays = {name.removeprefix(f"{key}/"): array for name, array in arrays.items()}
    assert list(arrays) == list(tensors)
    for name, tensor in tensors.items():
        expected = _numpy(tensor)
        assert arrays[name].dtype == expected.dtype
        np.testing.assert_array_equal(arrays[name], expected, strict=True)
    assert np.shares_memory(arrays["slice"], arrays["tied to slice"])
    assert not arrays["plain"].flags.writeable


def test_reads_state_dict_of_a_module(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, (1, 2)), torch.nn.LayerNorm(3))
    torch.save(module.state_dict(), tmp_path / "a.pth")
    for name, array in read_pth(tmp_path / "a.pth").items():
        np.testing.assert_array_equal(array, module.state_dict()[name])


@pytest.mark.parametrize("mmap", [False, True])
def test_torch_reads_what_we_write(tmp_path, tensors, mmap):
    write_pth(tmp_path / "a.pth", {name: _numpy(tensor) for name, tensor in tensors.items()})
    loaded = torch.load(tmp_path / "a.pth", weights_only=True, mmap=mmap)
    assert list(loaded) == list(tensors)
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].is_contiguous()
        assert torch.equal(loaded[name], tensor)
        assert loaded[name].data_ptr() % 64 == 0 or not mmap
    assert zipfile.ZipFile(tmp_path / "a.pth").testzip() is None


def test_same_tensors_give_the_same_file(tmp_path):
    for name in "ab":
        write_pth(tmp_path / name, {"x": np.arange(3.0)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class _Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _global(name: str) -> bytes:
    return f"c{name}\n".replace(" ", "\n").encode()


def _attacks(marker: Path) -> dict[str, tuple[bytes, str]]:
    """Pickles that would create the marker, or misuse what is allowed; and what the error names."""
    command = f"touch {marker}"
    python = f"open({str(marker)!r}, 'w')"
    rebuild = _global("torch._utils _rebuild_tensor_v2")
    ordered = _global("collections OrderedDict")
    text = pickle.dumps(command, 2)[2:-1]
    return {
        "os.system": (pickle.dumps({"w": _Call(os.system, command)}, 2), "posix.system"),
        "protocol 4": (pickle.dumps({"w": _Call(os.system, command)}, 4), "posix.system"),
        "eval": (pickle.dumps({"w": _Call(eval, python)}, 2), "__builtin__.eval"),
        "exec": (pickle.dumps({"w": _Call(exec, python)}, 4), "builtins.exec"),
        "attribute": (
            b"\x80\x04\x8c\x0ctorch._utils\x8c\x1e_rebuild_tensor_v2.__globals__\x93.",
            "torch._utils._rebuild_tensor_v2.__globals__",
        ),
        "torch.load": (b"\x80\x02" + _global("torch load") + text + b"\x85R.", "torch.load"),
        "INST": (b"\x80\x02(" + text + b"iposix\nsystem\n.", "posix.system"),
        "OBJ": (b"\x80\x02(" + _global("posix system") + text + b"o.", "posix.system"),
        "NEWOBJ": (b"\x80\x02" + ordered + b")\x81.", "collections.OrderedDict"),
        "NEWOBJ_EX": (b"\x80\x04" + _global("posix system") + b")}\x92.", "posix.system"),
        "what a call gives, called": (
            b"\x80\x02" + _global("builtins getattr") + b")R" + text + b"\x85R.",
            "builtins.getattr",
        ),
        "state of an object": (
            b"\x80\x02" + _global("posix system") + text + b"\x85R" + text + b"b.",
            "posix.system",
        ),
        "EXT": (b"\x80\x02\x82\x01.", "extension 1"),
        "next buffer": (b"\x80\x05\x97.", "NEXT_BUFFER"),
        "rebuild of a rebuild": (b"\x80\x02" + rebuild + rebuild + b"\x85R.", "_rebuild_tensor_v2"),
        "dictionary of text": (b"\x80\x02" + ordered + text + b"\x85R.", "OrderedDict"),
        "dictionary of no pairs": (b"\x80\x02" + ordered + b"]K\x01a\x85R.", "damaged"),
        "storage called": (
            b"\x80\x02" + _global("torch FloatStorage") + b"K\x05\x85R.",
            "torch.FloatStorage",
        ),
        "text called": (b"\x80\x02" + text + b")R.", "damaged"),
        "attributes of a function": (b"\x80\x02" + rebuild + b"}b.", "damaged"),
        "slots of a function": (b"\x80\x02" + rebuild + b"N}\x86b.", "damaged"),
        "tuple as key": (b"\x80\x02})K\x01s.", "no state dict"),
        "unknown memo": (b"\x80\x02h\x07.", "damaged"),
        "nothing on the stack": (b"\x80\x02R.", "damaged"),
        "no end": (b"\x80\x02}", "damaged"),
    }


@pytest.mark.parametrize("attack", _attacks(Path("marker")))
def test_runs_nothing_that_a_pickle_names(tmp_path, attack):
    marker = tmp_path / "marker"
    stream, named = _attacks(marker)[attack]
    path = _archive(tmp_path / "evil.pth", stream)
    modules = set(sys.modules)
    with pytest.raises(CheckpointError) as error:
        read_pth(path)
    assert not marker.exists()
    assert set(sys.modules) == modules
    message = str(error.value)
    assert message.startswith(str(path))
    assert named in message
    assert "\n" not in message


def test_the_attacks_are_real(tmp_path):
    stream, _ = _attacks(tmp_path / "marker")["os.system"]
    pickle.loads(stream)
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "record",
    [
        TensorRecord("0", FLOAT, 6, 1, (2, 3), (3, 1)),
        TensorRecord("0", FLOAT, 6, 0, (2, 3), (4, 1)),
        TensorRecord("0", FLOAT, 6, 0, (7,), (1,)),
        TensorRecord("0", FLOAT, 6, 0, (10**9, 10**9), (0, 0)),
        TensorRecord("0", FLOAT, 6, 0, (3,), (-1,)),
        TensorRecord("0", FLOAT, 6, -1, (3,), (1,)),
        TensorRecord("0", FLOAT, 6, 0, (2, 3), (1,)),
        TensorRecord("0", FLOAT, 7, 0, (7,), (1,)),
        TensorRecord("1", FLOAT, 6, 0, (2, 3), (3, 1)),
    ],
)
def test_refuses_tensors_beyond_their_storage(tmp_path, record):
    path = _archive(tmp_path / "a.pth", serialize([("w", record)]))
    with pytest.raises(CheckpointError, match=r"a\.pth: "):
        read_pth(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # odd escapes in Python's own parser
def test_pickle_damaged_anywhere_is_an_error_or_tensors():
    records = [(f"w{n}", TensorRecord(str(n), FLOAT, 6, 0, (2, 3), (3, 1))) for n in range(3)]
    stream = serialize(records)
    assert parse(stream) == dict(records)
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        damaged = bytearray(stream)
        damaged[draw.integers(len(stream))] = draw.integers(256)
        try:
            parse(bytes(damaged))
        except CheckpointError:
            refused += 1
    assert refused > 1000


def test_truncated_anywhere(tmp_path, tensors):
    torch.save(tensors, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path = tmp_path / "a.pth"
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError) as error:
            read_pth(path)
        assert "\n" not in str(error.value)


def test_cut_in_the_middle(tmp_path, tensors):
    """The directory at the end is whole, but what it points to is gone."""
    torch.save(tensors, tmp_path / "a.pth")
    whole = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(whole[:700] + whole[1300:])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_pth(tmp_path / "a.pth")


def test_refuses_other_archives(tmp_path):
    stream = serialize([("w", TensorRecord("0", FLOAT, 6, 0, (2, 3), (3, 1)))])
    with pytest.raises(CheckpointError, match="compressed"):
        read_pth(_archive(tmp_path / "a.pth", stream, compression=zipfile.ZIP_DEFLATED))
    bomb = _archive(tmp_path / "b.pth", bytes(2**27), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="too large"):
        read_pth(bomb)
    with zipfile.ZipFile(tmp_path / "c.pth", "w") as archive:
        archive.writestr("holiday.txt", "sun")
    with pytest.raises(CheckpointError, match=r"no data\.pkl"):
        read_pth(tmp_path / "c.pth")
    path = _archive(tmp_path / "d.pth", stream)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", b"big")
    with pytest.raises(CheckpointError, match="big-endian"):
        read_pth(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "no state dict"),
        ([torch.ones(1)], "no state dict"),
        ({"lr": 0.1}, "no state dict"),
    ],
)
def test_refuses_what_is_no_state_dict(tmp_path, value, message):
    torch.save(value, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        read_pth(tmp_path / "a.pth")


def test_whole_modules_are_refused_by_name(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"objects of torch\.nn\.modules\.linear\.Linear"):
        read_pth(tmp_path / "a.pth")


def test_refuses_dtypes_that_torch_lacks(tmp_path):
    with pytest.raises(CheckpointError, match="w is uint32"):
        write_pth(tmp_path / "a.pth", {"w": np.zeros(2, np.uint32)})
    assert list(tmp_path.iterdir()) == []
