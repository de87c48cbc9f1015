"""`sam-jax engine generate`: what it stores and writes, that a killed run goes on, and what it refuses."""

import contextlib
import importlib.util
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sam_jax.cli.grid_options import PAPER_GRID, Grid
from sam_jax.cli.main import main
from sam_jax.data.sources import open_source
from sam_jax.inference.automatic import SA1B
from tests.missing import leave_out

pytestmark = pytest.mark.usefixtures("devices")

LENIENT = (
    *("--points-per-side", "3", "--pred-iou-thresh", "0", "--stability-score-thresh", "0"),
    *("--box-nms-thresh", "0.95", "--crop-n-layers", "0", "--max-area-share", "2"),
)

QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
"""What makes compiling quick, on one device."""


def write_rolls(folder, count):
    """Photos of two sizes, each another part of one real photo."""
    folder.mkdir(exist_ok=True)
    for k in range(count):
        pixels = np.roll(skimage.data.coffee()[::4, ::4], 3 * k, axis=1)[: 60 + k % 2, :80]
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"roll_{k:02}.png")
    return folder


@pytest.fixture
def photos(tmp_path):
    return write_rolls(tmp_path / "photos", 3)


@pytest.fixture
def generate(weights, photos):
    """Runs `sam-jax engine generate`."""

    def run(*options, code=0, database=photos / "annotations.sqlite"):
        command = ["engine", "generate", database, *options]
        command += ["--checkpoint", weights, *LENIENT]
        assert main([str(part) for part in command]) == code

    return run


def ask(database, query):
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        return connection.execute(query).fetchall()


def read_masks(database):
    """Masks of each photo, by its path."""
    found = {path: [] for (path,) in ask(database, "SELECT path FROM photos")}
    query = (
        "SELECT path, counts, predicted_iou FROM masks JOIN photos ON photo_id = photos.id"
        " WHERE stage = 3 AND state = 'done' ORDER BY path, created_at"
    )
    for path, *mask in ask(database, query):
        found[path].append(mask)
    return found


def test_the_settings_are_those_of_the_paper():
    usual = asdict(Grid())
    assert {name: value for name, value in asdict(PAPER_GRID).items() if value != usual[name]} == {
        name: value for name, value in SA1B.items() if value != usual[name]
    }


def test_the_database_and_a_folder_get_the_same_masks(generate, photos, tmp_path, capsys):
    (photos / "damaged.png").write_bytes(b"none")
    generate(photos, code=1)
    shown = capsys.readouterr()
    assert "of 3 photos to " in shown.out.splitlines()[-1]
    assert "no masks of 1 photo: " in shown.err.splitlines()[-1]
    Image.open(photos / "roll_00.png").transpose(Image.Transpose.ROTATE_90).save(
        photos / "damaged.png"
    )
    generate()
    assert "of 1 photo to " in capsys.readouterr().out
    stored = read_masks(photos / "annotations.sqlite")
    assert [len(masks) > 0 for masks in stored.values()] == [True] * 4
    generate("--output", tmp_path / "out")  # all are masked: nothing is written
    assert not (tmp_path / "out" / "sa1b").exists()
    (photos / "annotations.sqlite").unlink()
    generate(photos, "--output", tmp_path / "out")
    assert ask(photos / "annotations.sqlite", "SELECT count(*) FROM masks") == [(0,)]
    assert len(open_source(str(tmp_path / "out" / "sa1b"))) == 4
    for path, masks in stored.items():
        document = json.loads((tmp_path / "out" / "sa1b" / path).with_suffix(".json").read_text())
        written = [
            [mask["segmentation"]["counts"], mask["predicted_iou"]]
            for mask in document["annotations"]
            if mask["area"]
        ]
        assert written == masks
    capsys.readouterr()
    generate("--output", tmp_path / "out")
    assert "of 0 photos" in capsys.readouterr().out
    generate(photos / "roll_01.png")
    assert [len(masks) for masks in read_masks(photos / "annotations.sqlite").values()] == [
        *(0, 0, len(stored["roll_01.png"]), 0)
    ]


def test_bad_input(complaint, photos, weights, tmp_path):
    database = photos / "annotations.sqlite"
    line = complaint("engine", "generate", database)
    assert "no such database" in line
    assert "name the folder of its photos" in line
    assert not database.exists()
    (tmp_path / "empty").mkdir()
    assert "no photos" in complaint("engine", "generate", database, tmp_path / "empty")
    assert "is new" in complaint("engine", "generate", database, photos / "roll_00.png")
    inside = ("--output", photos / "out", "--checkpoint", weights)
    line = complaint("engine", "generate", database, photos, *inside)
    assert "--output is in the folder of the photos" in line
    assert not (photos / "out").exists()
    wrong = ("--checkpoint", weights, "--pred-iou-thresh", "inf")
    assert "number" in complaint("engine", "generate", database, photos, *wrong)
    Image.open(photos / "roll_00.png").save(photos / "roll_00.jpg")
    apart = ("--output", tmp_path / "out", "--checkpoint", weights)
    line = complaint("engine", "generate", database, photos, *apart)
    assert "would share a json file" in line
    assert not (tmp_path / "out").exists()
    assert "--workers belongs to --ray" in complaint("engine", "generate", database, "--workers", 2)


@pytest.mark.slow
def test_killed_in_the_middle(photos, weights):
    write_rolls(photos, 30)
    database = photos / "annotations.sqlite"
    command = [sys.executable, "-m", "sam_jax", "engine", "generate", database, photos]
    command += ["--checkpoint", weights, *LENIENT]
    environment = {**os.environ, "XLA_FLAGS": QUICK}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    is_begun = False
    while not is_begun:
        assert process.poll() is None
        assert time.monotonic() < deadline
        with contextlib.suppress(sqlite3.OperationalError):
            query = "SELECT count(*) FROM photos WHERE finished_at IS NOT NULL"
            is_begun = ask(database, query)[0][0] >= 5
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole = "SELECT count(*) FROM masks JOIN photos ON photo_id = photos.id WHERE finished_at IS {}"
    assert ask(database, whole.format("NULL")) == [(0,)]
    kept = ask(database, "SELECT * FROM masks ORDER BY id")
    done = ask(database, "SELECT path, finished_at FROM photos WHERE finished_at IS NOT NULL")
    assert 5 <= len(done) < 30
    ended = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert f"of {30 - len(done)} photos to" in ended.stdout
    assert f"{len(done)} photos done before" in ended.stdout
    query = "SELECT path, finished_at FROM photos WHERE finished_at IS NOT NULL"
    assert {*done} < {*ask(database, query)}
    assert {*kept} < {*ask(database, "SELECT * FROM masks ORDER BY id")}
    masks = read_masks(database)
    assert len(masks) == 30
    assert all(masks.values())
    for of_photo in masks.values():
        assert len({counts for counts, _ in of_photo}) == len(of_photo)


def find_descendants(process):
    """Numbers and names of the processes that a process has started, and those have."""
    found = {}
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        for child in children:
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_text()
            found |= find_descendants(int(child))
    return found


def read_ticks(process):
    """The processor's time that a process has used."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11])


def wait_for(condition, process, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


HEEDS_CTRL_C = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from sam_jax.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""The command line as a terminal starts it: what a shell starts in the background ignores Ctrl-C, and so do these tests
and what they start."""


@pytest.mark.slow
def test_workers_on_a_cluster_that_is_interrupted_and_loses_one(
    generate, photos, weights, tmp_path
):
    if importlib.util.find_spec("ray") is None:
        leave_out("Ray is not installed")
    write_rolls(photos, 40)
    (photos / "annotations.sqlite").unlink(missing_ok=True)
    database = photos / "annotations.sqlite"
    command = [sys.executable, "-c", HEEDS_CTRL_C, "engine", "generate", database, photos]
    command += ["--checkpoint", weights, *LENIENT, "--ray", "local", "--workers", "2"]

    def start():
        return subprocess.Popen(
            command,
            env={**os.environ, "XLA_FLAGS": QUICK},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finished():
        with contextlib.suppress(sqlite3.OperationalError):
            return ask(database, "SELECT count(*) FROM photos WHERE finished_at IS NOT NULL")[0][0]
        return 0

    process = start()
    wait_for(lambda: finished() >= 3, process)
    started = find_descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # to all, as a terminal does
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert shown.splitlines()[-1] == "interrupted"
    deadline = time.monotonic() + 20
    while [number for number in started if Path(f"/proc/{number}").exists()]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = finished()
    assert 3 <= before < 30
    process = start()
    wait_for(lambda: finished() >= before + 4, process)
    workers = [n for n, name in find_descendants(process.pid).items() if "ray::_Worker" in name]
    os.kill(max(workers, key=read_ticks), signal.SIGKILL)  # the one that has done most so far
    told, shown = process.communicate(timeout=180)
    assert process.returncode == 0, shown
    assert f"of {40 - before} photos to" in told
    assert "Traceback" not in shown
    assert "A worker died" not in told + shown
    stored = read_masks(database)
    generate(tmp_path / "photos", "--output", tmp_path / "out", database=tmp_path / "other.sqlite")
    documents = {
        f"{path.stem}.png": json.loads(path.read_text())["annotations"]
        for path in (tmp_path / "out" / "sa1b").glob("*.json")
    }
    assert {*stored} == {*documents}
    assert len(stored) == 40
    for name, annotations in documents.items():
        written = [
            [mask["segmentation"]["counts"], mask["predicted_iou"]]
            for mask in annotations
            if mask["area"]
        ]
        assert stored[name] == written
