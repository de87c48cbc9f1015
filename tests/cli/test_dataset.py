import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from sam_jax.cli.main import main
from sam_jax.data.sources import open_source
from sam_jax.ops.rle import encode_rle
from sam_jax.storage import whole


@pytest.fixture
def folder(tmp_path):
    """Two whole records, one without json, and one whose mask has another size."""
    folder = tmp_path / "photos"
    folder.mkdir()
    mask = np.zeros((20, 30), bool)
    mask[4:12, 6:20] = True
    for i, drawn in enumerate([mask, mask, mask, mask.T]):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"sa_{i}.jpg")
        document = {"annotations": [{"segmentation": encode_rle(drawn, compress=True)}]}
        (folder / f"sa_{i}.json").write_text(json.dumps(document))
    (folder / "sa_2.json").unlink()
    return folder


def test_builds_and_names_what_is_left_out(folder, tmp_path, capsys):
    assert main(["dataset", "build", str(folder), "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    first, *lines = shown.out.splitlines()
    assert first.startswith(f"{folder}: photos 4, of which left out 1 (")
    assert lines[0] == f"wrote {tmp_path / 'out' / 'segment_anything' / '1.0.0'}: 2 photos"
    assert lines[1] == "skipped 2 photos:"
    assert "sa_2.jpg: no sa_2.json beside it" in lines[2]
    assert "sa_3.json: a mask is 20 wide and 30 high" in lines[3]
    assert len(lines) == 4
    assert shown.err == f"reading the photos of {folder}\n"
    source = open_source(tmp_path / "out")
    assert len(source) == 2
    assert source[0].masks[0].sum() == 8 * 14


def test_says_so_when_it_cannot(folder, tmp_path, complaint):
    out = tmp_path / "out"
    assert "no such folder" in complaint("dataset", "build", tmp_path / "none", "--output", out)
    (tmp_path / "file").touch()
    assert "Not a directory" in complaint(
        "dataset", "build", folder, "--output", tmp_path / "file" / "out"
    )
    assert main(["dataset", "build", str(folder), "--output", str(out)]) == 0
    assert "is already there" in complaint("dataset", "build", folder, "--output", out)


def test_build_is_the_only_action(folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["dataset", "make", str(folder), "--output", str(tmp_path / "out")])
    assert "build" in capsys.readouterr().err


def find_unfinished_folders(place):
    """Folders in which another process is at work: there is something in them already."""
    walk = os.walk(place)
    return [path for path, *inside in walk if path.endswith(".unfinished") and any(inside)]


@pytest.mark.slow
def test_killed_in_the_middle(folder, tmp_path):
    for i in range(400):
        for ending in ("jpg", "json"):
            shutil.copy(folder / f"sa_0.{ending}", folder / f"more_{i}.{ending}")
    command = [sys.executable, "-m", "sam_jax", "dataset", "build", folder, "--output"]
    with subprocess.Popen([*command, tmp_path / "out"], stdout=subprocess.DEVNULL) as process:
        while not find_unfinished_folders(tmp_path / "out"):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert find_unfinished_folders(tmp_path / "out")
    # So long the next run leaves alone what a writer may not have locked yet.
    time.sleep(whole._LOCKED_AFTER_SECONDS)
    contents = []
    for name in ("out", "undisturbed"):
        subprocess.run([*command, tmp_path / name], check=True, capture_output=True)
        paths = sorted((tmp_path / name).rglob("*"))
        contents.append(
            {
                path.relative_to(tmp_path / name): path.read_bytes() if path.is_file() else None
                for path in paths
            }
        )
    assert contents[0] == contents[1]
