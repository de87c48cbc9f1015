"""A file that looks whole is whole."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from sam_jax.checkpoints import load_checkpoint, save_checkpoint, write_pth
from sam_jax.checkpoints.safetensors_file import write_safetensors
from sam_jax.checkpoints.tensors import LazyTensor
from sam_jax.storage import whole
from sam_jax.types import CheckpointError, InputError, RunError

WRITERS = {
    "pth": write_pth,
    "safetensors": lambda path, tensors: write_safetensors(path, tensors, {}),
}
KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from sam_jax.checkpoints.tensors import LazyTensor
from sam_jax.checkpoints.torch_file import write_pth
from sam_jax.checkpoints.safetensors_file import write_safetensors

def wait():
    print("half", flush=True)
    time.sleep(60)

float32 = np.dtype(np.float32)
tensors = {
    "a": LazyTensor((2**20,), float32, lambda: np.ones(2**20, np.float32)),
    "b": LazyTensor((2**20,), float32, wait),
}
path = Path(sys.argv[1])
if path.suffix == ".pth":
    write_pth(path, tensors)
else:
    write_safetensors(path, tensors, {})
"""


def _tensors(fail_with: type[BaseException]) -> dict[str, LazyTensor]:
    def fail():
        raise fail_with

    ones = np.ones(2**18, np.float32)
    return {
        "a": LazyTensor(ones.shape, ones.dtype, lambda: ones),
        "b": LazyTensor(ones.shape, ones.dtype, fail),
    }


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("existing", [None, b"the old weights"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interrupted(tmp_path, ending, existing, error):
    path = tmp_path / f"sam.{ending}"
    if existing:
        path.write_bytes(existing)
    with pytest.raises(error):
        WRITERS[ending](path, _tensors(error))
    assert list(tmp_path.iterdir()) == ([path] if existing else [])
    assert not existing or path.read_bytes() == existing


@pytest.mark.slow
@pytest.mark.parametrize("ending", WRITERS)
def test_killed(tmp_path, ending, monkeypatch):
    path = tmp_path / f"sam.{ending}"
    process = subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not path.exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".")
    with pytest.raises(CheckpointError):
        load_checkpoint(left)
    monkeypatch.setattr(whole, "_LOCKED_AFTER_SECONDS", -1)
    WRITERS[ending](path, {"a": np.ones(2, np.float32)})
    assert list(tmp_path.iterdir()) == [path]


def test_who_may_read_the_file_is_the_users_choice(tmp_path):
    write_pth(tmp_path / "a.pth", {"a": np.ones(1)})
    (tmp_path / "b").touch()
    assert (tmp_path / "a.pth").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none/a.pth", "cannot write .*a.pth: No such file or directory"),
        ("file/a.pth", "cannot write .*a.pth: Not a directory"),
        ("folder.pth", "cannot write .*folder.pth: Is a directory"),
    ],
)
def test_places_that_cannot_be_written(tmp_path, path, message):
    (tmp_path / "file").touch()
    (tmp_path / "folder.pth").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        write_pth(tmp_path / path, {"a": np.ones(1)})
    assert sorted(tmp_path.iterdir()) == before


def test_full_disk(tmp_path, full_disk):
    with (
        full_disk(),
        pytest.raises(RunError, match=r"cannot write .*a\.pth: File too large; free some space"),
    ):
        write_pth(tmp_path / "a.pth", {"a": np.ones(2**20)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.npz", "a.pth.bak"])
def test_unknown_endings(tmp_path, small, make_variables, name):
    with pytest.raises(InputError, match=r"ends in \.safetensors or \.pth"):
        save_checkpoint(tmp_path / name, small(), make_variables(small()))
    assert list(tmp_path.iterdir()) == []


def test_weights_that_do_not_fit_are_not_written(tmp_path, small, make_variables):
    variables = make_variables(small())
    variables["params"]["image_encoder"]["neck"]["conv1"]["kernel"] = np.ones((3, 4), np.float32)
    del variables["constants"]
    with pytest.raises(CheckpointError) as error:
        save_checkpoint(tmp_path / "a.safetensors", small(), variables)
    assert str(error.value).endswith(
        "does not fit SAM of width 24 and depth 5: "
        "1 missing (constants/prompt_encoder/gaussian_matrix), "
        "1 misshapen (params/image_encoder/neck/conv1/kernel: (3,4) instead of (24,16))"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_weights_that_are_not_finite_are_not_written(tmp_path, small, make_variables, ending):
    variables = make_variables(small())
    variables["params"]["mask_decoder"]["iou_token"][0] = np.nan
    with pytest.raises(
        CheckpointError, match=r"1 with NaN or infinity \(params/mask_decoder/iou_t"
    ):
        save_checkpoint(tmp_path / f"a.{ending}", small(), variables)
    assert list(tmp_path.iterdir()) == []
