"""`sam-jax annotate`: what it refuses, and masks in and out."""

import contextlib
import json
import sqlite3

import numpy as np
import pytest
from PIL import Image

from sam_jax.cli.frozen_data import freeze_data
from sam_jax.cli.main import main
from sam_jax.data.sources import open_source
from sam_jax.types import InputError


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (30, 20)).save(folder / "a.png")
    labels = np.zeros((20, 30), np.uint8)
    labels[3:9, 4:20] = 1
    for name, image in (
        ("images", Image.new("RGB", (30, 20))),
        ("labels", Image.fromarray(labels)),
    ):
        (tmp_path / "given" / name).mkdir(parents=True)
        image.save(tmp_path / "given" / name / "a.png")
    return folder


def test_masks_go_in_and_out(photos, tmp_path, capsys):
    command = ["annotate", str(photos)]
    assert main([*command, "--import", str(tmp_path / "given")]) == 0
    assert "took 1 mask of 1 photo over" in capsys.readouterr().out
    assert main([*command, "--export", str(tmp_path / "out")]) == 0
    assert "wrote 1 mask of 1 photo" in capsys.readouterr().out
    (annotation,) = json.loads((tmp_path / "out/a.json").read_text())["annotations"]
    assert annotation["area"] == 6 * 16
    assert annotation["bbox"] == [4, 3, 16, 6]
    assert main([*command, "--backup", str(tmp_path / "copy.sqlite")]) == 0
    assert (tmp_path / "copy.sqlite").stat().st_size > 4096


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--export", "x", "--backup", "y"], "give one at a time"),
        (["--export", "new"], "no photo has masks yet"),
        (["--import", "nowhere"], "no such file or folder: nowhere"),
        (["--embeddings-gb", "0"], "--embeddings-gb is more than 0"),
        (["--database", "mysql://x/y"], "of sqlite or postgresql, not of mysql"),
        (["--runtime", "x"], "--runtime is for --decode-in-browser"),
        (["--no-browser", "--port", "0", "--decode-in-browser", "--runtime", "x"], "x has no ort-"),
        (["--no-browser", "--host", "203.0.113.7"], "cannot listen at 203.0.113.7"),
        (["--no-browser", "--port", "70000"], "cannot listen at 127.0.0.1, port 70000"),
    ],
)
def test_what_cannot_be_done_is_one_line(photos, tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    assert main(["annotate", str(photos), *options]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last


def test_a_folder_without_photos_is_refused(tmp_path, capsys):
    assert main(["annotate", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["annotate", str(tmp_path / "empty"), "--no-browser"]) == 2
    assert "no photos (" in capsys.readouterr().err


def test_a_run_learns_what_was_there_when_it_began(photos, tmp_path):
    command = ["annotate", str(photos), "--import", str(tmp_path / "given")]
    assert main(command) == 0
    place = str(photos / "annotations.sqlite")
    frozen = freeze_data(place, tmp_path / "run")
    with contextlib.closing(sqlite3.connect(place)) as database, database:
        database.execute("UPDATE masks SET state = 'removed'")
    assert freeze_data(place, tmp_path / "run") == frozen
    assert len(open_source(frozen)) == 1
    with pytest.raises(InputError, match="no masks yet"):
        freeze_data(place, tmp_path / "other")
    assert freeze_data(str(tmp_path / "given"), tmp_path / "run") == str(tmp_path / "given")
