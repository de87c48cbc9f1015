"""Two real processes with a device each, as on two machines: they share the work, and their results are as of one."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sam_jax
from sam_jax.checkpoints import save_checkpoint
from sam_jax.cli.main import main
from sam_jax.cli.supervision import LOST
from sam_jax.models import init_variables
from sam_jax.storage import copy_file, locate
from tests.training.conftest import MINIATURE, QUICK_AND_ALONE

pytestmark = pytest.mark.slow

COUNT = 2


def start(*arguments, count=COUNT, folders=None, **more):
    """Start `sam-jax` in several processes at once, as one on each host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    several = {
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(count),
    }
    code = str(Path(sam_jax.__file__).parents[1])
    packages = os.pathsep.join([code, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, **QUICK_AND_ALONE, **several, "PYTHONPATH": packages, **more}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "sam_jax", *map(str, arguments), "--multi-host"],
            cwd=folders[rank] if folders else code,
            env=environment | {"JAX_PROCESS_ID": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def start_together(*arguments):
    """Run `sam-jax` in several processes at once, and return what each printed."""
    printed = []
    for process in start(*arguments):
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        printed.append("\n".join(line for line in out.splitlines() if "[Gloo]" not in line))
    return printed


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "miniature.safetensors"
    save_checkpoint(path, MINIATURE, init_variables(MINIATURE, 0))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Five photos 60 wide and 40 high with a lighter box in each."""
    folder = tmp_path_factory.mktemp("boxes")
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(5):
        labels = np.zeros((40, 60), np.uint8)
        labels[4 + number : 24, 5 : 30 + number] = 1
        pixels = rng.integers(0, 50, (40, 60, 3)) + 150 * labels[:, :, None]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"images/{number}.png")
        Image.fromarray(labels).save(folder / f"labels/{number}.png")
    return folder


def test_hosts_with_a_disk_each_are_refused(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    for process in start("train", "debug", "--output", "run", folders=folders):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 2
        assert err.splitlines()[-1].startswith(
            "error: what process 0 writes to run is not there for process 1: the hosts have a disk each. Name a folder"
        )


def test_images_are_measured_once_and_told_once(photos, weights, tmp_path):
    options = ("--checkpoint", weights, "--clicks", "1", "--no-noc", "--pictures", "0", "--output")
    command = ("evaluate", "points", f"boxes={photos}", *options)
    first, second = start_together(*command, tmp_path / "two")
    assert "boxes" in first
    assert second == ""
    assert len(list((tmp_path / "two").glob("**/records/*.json"))) == 5
    assert main([*map(str, (*command, tmp_path / "one"))]) == 0
    of_two, of_one = (
        json.loads((tmp_path / name / "results.json").read_text())["tables"][:2]
        for name in ("two", "one")
    )
    assert of_two == of_one


def test_photos_are_shared(photos, weights, tmp_path):
    options = ("--points-per-side", "2", "--pred-iou-thresh", "0", "--stability-score-thresh", "0")
    command = ("generate", photos / "images", "--checkpoint", weights, *options, "--coco")
    first, second = start_together(*command, "--output", tmp_path / "two")
    assert "of 3 photos" in first
    assert "of 2 photos" in second
    assert main([*map(str, command), "--output", str(tmp_path / "one")]) == 0
    of_two, of_one = (
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("**/*.json")}
        for name in ("two", "one")
    )
    assert len(of_one) == 5 + 2  # photos, coco.json, settings
    assert of_two == of_one


def test_three_processes_from_a_bucket_to_a_bucket_one_of_which_is_killed(
    bucket, object_store, weights, tmp_path
):
    place = locate(bucket)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(9):
        pixels = rng.integers(0, 256, (40 + number, 60, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number:02}.png")
        copy_file(tmp_path / f"photos/{number:02}.png", place / f"photos/{number:02}.png")
    copy_file(weights, place / "w.safetensors")
    options = ("--pred-iou-thresh", "0", "--stability-score-thresh", "0", "--points-per-side", "12")
    command = ("generate", f"{bucket}/photos", "--checkpoint", f"{bucket}/w.safetensors", *options)
    command = (*command, "--output", f"{bucket}/out")
    processes = start(*command, count=3, **object_store)
    deadline = time.monotonic() + 120
    while not (place / "out/sa1b/02.json").exists():  # the first of the last process
        assert time.monotonic() < deadline
        assert processes[2].poll() is None
        time.sleep(0.01)
    processes[2].kill()
    for process in processes[:2]:
        _, err = process.communicate(timeout=180)
        assert process.returncode == LOST, err
        assert "another process of this run has ended" in err.splitlines()[-1]
    processes[2].communicate()
    stems = [Path(name).stem for name in (place / "out").list_below() if name.endswith(".json")]
    done = {stem for stem in stems if stem != "settings"}
    others = {f"{number:02}" for number in range(9) if number % 3 < 2}
    assert others | {"02"} <= done  # the others have done all of theirs
    assert len(done) < 9
    times = {stem: (place / f"out/sa1b/{stem}.json").stat().st_mtime for stem in done}
    assert main([*command]) == 0
    for stem, when in times.items():
        assert (place / f"out/sa1b/{stem}.json").stat().st_mtime == when
    there = {
        name: (place / "out" / name).read_bytes()
        for name in (place / "out").list_below()
        if name != "settings.json"
    }
    local = ("generate", tmp_path / "photos", "--checkpoint", weights, *options)
    assert main([*map(str, local), "--output", str(tmp_path / "out")]) == 0
    assert there == {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and path.name != "settings.json"
    }
    assert len(there) == 18
