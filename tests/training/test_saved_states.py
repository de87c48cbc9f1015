"""Training states that are whole, or not there."""

import errno
import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import PartitionSpec

from sam_jax.distributed import device_mesh, parameter_specs
from sam_jax.storage import locate
from sam_jax.training.orbax_states import check_place_of_states
from sam_jax.training.saved_states import SavedStates
from sam_jax.training.state import TrainState
from sam_jax.types import InputError, RunError

CONFIG = {"steps": 9, "optimiser": {"rate": 0.1}, "reporting": {"metrics_every": 5}}
POSITION = {"examples_taken": 48, "skipped": {"no json: é": 2}, "fingerprint": "abc"}


def make_state(step):
    weights = jnp.arange(8192.0).reshape(4, 2048) + step
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        params={"encoder": {"kernel": weights}, "tokens": jnp.ones(3)},
        constants={"constants": {"matrix": jnp.full((2, 2), 0.5)}},
        opt_state=({"encoder": {"kernel": weights / 10}, "tokens": None}, ()),
        key=jax.random.key(step),
    )


class Run:
    def __init__(self, folder, config=CONFIG, keep=2, devices=1, sharded=False):
        self.said = []
        self.folder = folder
        self.mesh = device_mesh(jax.devices()[:devices])
        self.specs = parameter_specs(make_state(0), self.mesh, sharded=sharded)._replace(
            key=PartitionSpec()
        )
        self.saved = SavedStates(folder, keep, config, self.said.append)

    def save(self, *steps):
        for step in steps:
            self.saved.save(make_state(step), {**POSITION, "examples_taken": step}, step, step / 2)
            self.saved.wait()

    def restore(self):
        return self.saved.restore(jax.eval_shape(lambda: make_state(0)), self.specs, self.mesh)


@pytest.fixture
def start(tmp_path):
    runs = []

    def start(**settings):
        if runs:
            runs[-1].saved.close()
        runs.append(Run(tmp_path / "states", **settings))
        return runs[-1]

    yield start
    for run in runs[-1:]:
        run.saved.close()


def assert_is_state(restored, step):
    expected = make_state(step)
    assert jax.tree.structure(restored.state) == jax.tree.structure(expected)
    for leaf, wanted in zip(
        jax.tree.leaves(restored.state._replace(key=None)),
        jax.tree.leaves(expected._replace(key=None)),
        strict=True,
    ):
        assert leaf.dtype == wanted.dtype
        np.testing.assert_array_equal(leaf, wanted)
    assert (jax.random.bits(restored.state.key) == jax.random.bits(expected.key)).all()
    assert restored.position == {**POSITION, "examples_taken": step}
    assert restored.seconds == step / 2


def test_nothing_is_restored_from_a_new_folder(start):
    assert start().restore() is None


def test_the_newest_comes_back_to_the_bit(start):
    start().save(3, 6)
    assert_is_state(start().restore(), 6)


def test_the_newest_few_are_kept(start):
    run = start(keep=2)
    run.save(1, 2, 3, 4)
    assert sorted(os.listdir(run.folder)) == ["3", "4"]


def test_saving_a_step_again_is_no_error(start):
    run = start()
    run.save(3)
    run.save(3)
    assert_is_state(start().restore(), 3)


def test_parts_on_eight_devices_become_whole_on_one_and_back(start):
    start(devices=8, sharded=True).save(5)
    restored = start(devices=1).restore()
    assert_is_state(restored, 5)
    restored = start(devices=8, sharded=True).restore()
    assert_is_state(restored, 5)
    kernel = restored.state.params["encoder"]["kernel"]
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(4, 256)}


def test_a_half_written_state_is_ignored_with_a_word(start):
    run = start()
    run.save(3, 6)
    shutil.copytree(run.folder / "6", run.folder / "9")
    (run.folder / "9" / "commit_success.txt").unlink()
    again = start()
    assert again.said == ["training state 9 was never finished: it is removed"]
    assert_is_state(again.restore(), 6)
    assert sorted(os.listdir(run.folder)) == ["3", "6"]


def damage(folder, kind):
    if kind.startswith("no "):
        shutil.rmtree(folder / kind.removeprefix("no "))
        return
    for file in folder.rglob("state/**/d/*"):
        content = bytearray(file.read_bytes())
        if kind == "a bit":
            content[len(content) // 2] ^= 1
        elif kind == "truncated":
            del content[20:]
        else:
            content.clear()
        file.write_bytes(content)


# Orbax reads on in its threads when a file turns out to be short, and finds their event loop closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["a bit", "truncated", "empty", "no state", "no about"])
def test_a_damaged_state_is_left_aside_for_the_one_before(start, kind):
    run = start()
    run.save(3, 6)
    damage(run.folder / "6", kind)
    again = start()
    assert_is_state(again.restore(), 3)
    (line,) = again.said
    assert line.startswith("the training state of step 6 is damaged (")
    assert line.endswith("): left aside, trying the one before")
    assert "\n" not in line
    third = start()
    assert_is_state(third.restore(), 3)
    assert third.said == []
    third.save(6)
    assert sorted(os.listdir(run.folder)) == ["3", "6"]
    assert_is_state(start().restore(), 6)


def test_a_bit_of_a_large_array_is_damage(tmp_path, monkeypatch):
    """TensorStore has no checksum of those."""
    like = make_state(0)
    noise = jax.random.normal(jax.random.key(0), (64, 1024))
    monkeypatch.setitem(globals(), "make_state", lambda _: like._replace(params={"noise": noise}))
    run = Run(tmp_path / "states")
    run.save(3)
    run.saved.close()
    (large,) = (
        file for file in run.folder.rglob("3/state/**/d/*") if file.stat().st_size > noise.size
    )
    content = bytearray(large.read_bytes())
    content[len(content) // 2] ^= 1
    large.write_bytes(content)
    again = Run(run.folder)
    assert again.restore() is None
    assert again.said == [
        "the training state of step 3 is damaged (what it holds is not what was saved): left aside, "
        "trying the one before"
    ]
    again.saved.close()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        PermissionError(errno.EACCES, "Permission denied"),
        ValueError("UNAVAILABLE: CURL error: connection refused"),
        RuntimeError("Cannot connect to host"),
    ],
)
def test_what_cannot_be_read_is_not_damaged(start, monkeypatch, error):
    start().save(3, 6)
    run = start()

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(ocp.Checkpointer, "restore", fail)
    with pytest.raises(RunError, match="cannot read the training state of step 6 ") as caught:
        run.restore()
    assert str(error.args[-1]) in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert_is_state(start().restore(), 6)


def test_places_where_orbax_keeps_nothing(monkeypatch):
    with pytest.raises(InputError, match=r"^s3://pod/run: Orbax, .* cannot write to s3://; mount"):
        check_place_of_states(locate("s3://pod/run"))
    check_place_of_states(locate("gs://pod/run"))
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(InputError, match=r"pip install 'sam-jax\[cloud\]'"):
        check_place_of_states(locate("gs://pod/run"))


def test_other_settings_are_refused_by_name(start):
    start().save(3)
    run = start(config={**CONFIG, "optimiser": {"rate": 0.2}})
    with pytest.raises(InputError, match=r"optimiser\.rate was 0\.1 and is now 0\.2") as error:
        run.restore()
    assert "\n" not in str(error.value)
    assert "3" in os.listdir(run.folder)


def test_reporting_may_change(start):
    start().save(3)
    assert_is_state(start(config={**CONFIG, "reporting": {"metrics_every": 1}}).restore(), 3)


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "states").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*: File exists"):
        SavedStates(tmp_path / "states", 2, CONFIG, print)


DISK_FULL = """
import resource, signal, sys
from pathlib import Path
from tests.training.test_saved_states import Run, make_state
from sam_jax.types import RunError

run = Run(Path(sys.argv[1]))
run.save(3)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
try:
    run.save(6)
except RunError as error:
    print(error)
"""


def test_a_full_disk_is_one_line_and_loses_nothing(start, tmp_path):
    folder = tmp_path / "states"
    ended = subprocess.run(
        [sys.executable, "-c", DISK_FULL, str(folder)], capture_output=True, text=True, timeout=120
    )
    (line,) = ended.stdout.splitlines()
    assert line.startswith(f"cannot write {folder}/6: ")
    assert "free some space" in line
    assert_is_state(start().restore(), 3)
