"""The loop with real processes: masks come in, a version is trained, and killed on its way, while people go on."""

import contextlib
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from sqlalchemy import insert

from experiments.data_engine.crowd import Server
from sam_jax.cli.main import main
from sam_jax.data.folders import list_photos
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.journal import read_masks
from sam_jax.data_engine.retraining import RetrainingConfig, retraining
from sam_jax.data_engine.schema import masks
from sam_jax.data_engine.versions import list_versions
from sam_jax.data_engine.workplace import register_photos
from sam_jax.ops.rle import encode_rle
from sam_jax.training.finetuning import FinetuningConfig
from sam_jax.types import InputError
from tests.data_engine.conftest import Client, write_photos
from tests.data_engine.test_journal import draw
from tests.data_engine.test_server import begin, predict, save
from tests.data_engine.test_versions import automatic
from tests.training.conftest import QUICK_AND_ALONE, SHORT

CLICK = [70.5, 40.0, 1]


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path, monkeypatch, weights):
    for name, value in (QUICK_AND_ALONE | {"XDG_CACHE_HOME": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    photos = write_photos(tmp_path / "photos", ("chelsea", "coffee", "rocket", "astronaut"))
    server = Server(photos, str(photos / "annotations.sqlite"), str(weights[0]))
    server.start()
    yield server
    server.kill()


def draw_next(client, after):
    """Open the next photo, ask the model, and save a mask that is done; the mask, the answer, and where."""
    opened = begin(client, after=after)
    answer = predict(client, opened, clicks=[CLICK])
    pixels = np.zeros((opened["photo"]["height"], opened["photo"]["width"]), bool)
    pixels[20:60, 30:90] = True
    mask = draw(
        counts=encode_rle(pixels, compress=True)["counts"], state="done", model=answer["model"]
    )
    mask["prompt"]["clicks"] = [CLICK]
    save(client, opened, mask, "finish")
    return mask, answer, opened["photo"]["id"]


def versions_of(server):
    with contextlib.closing(Database(server.database)) as database, database.reading() as reader:
        return list_versions(reader)


@pytest.mark.slow
def test_a_version_is_trained_killed_finished_taken_up_and_gone_back_from(server, tmp_path, capfd):
    client = Client(server.port)
    first, before, number = draw_next(client, None)
    for _ in range(2):
        _, _, number = draw_next(client, number)
    command = ["engine", "train", server.database, *SHORT]
    killed = subprocess.Popen([sys.executable, "-m", "sam_jax", *command], env=os.environ)
    snapshot = tmp_path / "photos/annotations.versions/1/masks.sqlite"
    until(snapshot.is_file)
    # While it trains, nobody else does; people go on, and what they draw is learned next time.
    with (
        contextlib.closing(Database(server.database)) as database,
        pytest.raises(InputError, match="another process trains"),
        retraining(database, RetrainingConfig()),
    ):
        pass
    killed.kill()
    killed.wait()
    draw_next(client, number)
    assert main([*command, "--rate", "1e-3"]) == 2
    said = "version 1 was begun with other options: rate was 0.0001 and is now 0.001"
    assert said in capfd.readouterr().err
    subprocess.run([sys.executable, "-m", "sam_jax", *command], check=True, timeout=300)
    out = capfd.readouterr().out
    assert "1 object of 1 photo that took no part in training: mean IoU" in out
    made = versions_of(server)
    assert [(one.number, one.photos, one.masks) for one in made] == [(0, None, None), (1, 3, 3)]
    assert made[1].numbers["objects"] == 1

    assert main(["engine", "use", server.database, "1"]) == 0
    until(lambda: client.ask("GET", "/api/status")[1]["model"] == "version 1")
    opened = begin(client)
    after = predict(client, opened, clicks=[CLICK])
    with contextlib.closing(Database(server.database)) as database, database.reading() as reader:
        assert after["model"] == list_versions(reader)[1].model != before["model"]
        (kept,) = read_masks(reader, 1)
        assert (kept["counts"], kept["model_id"]) == (first["counts"], before["model"])
        assert len(read_masks(reader, number + 1)) == 1

    assert main(["engine", "use", server.database, "0"]) == 0
    until(lambda: client.ask("GET", "/api/status")[1]["model"] == "0.safetensors")
    path = "/api/photos/1/open"
    opened = client.post(path, person="ann", lease=None)["opened"]
    assert predict(client, opened, clicks=[CLICK]) == before
    assert len(list_photos(tmp_path / "photos")) == 4  # the pictures of the run are none


@pytest.fixture
def begin_version(tmp_path, weights):
    """Begins a version of a database in a folder with one photo, and says which."""
    photos = write_photos(tmp_path / "photos", ("coffee",))
    with contextlib.closing(Database(photos / "annotations.sqlite")) as database:
        register_photos(database, photos)

        def begin_version(anew=False, **finetuning):
            config = RetrainingConfig(finetuning=FinetuningConfig(**finetuning))
            with retraining(database, config, checkpoint=weights[0], anew=anew) as begun:
                return begun.number, begun.learned

        begin_version.database = database
        yield begin_version


def test_a_training_that_has_not_ended_goes_on_or_is_left_behind(begin_version):
    database = begin_version.database
    with pytest.raises(InputError, match="has no masks yet"):
        begin_version()
    with database.writing() as connection:
        assert list_versions(connection) == []
        connection.execute(insert(masks).values(**automatic(1) | {"stage": 1}))
    assert begin_version(steps=9) == (1, (1, 1))
    with database.writing() as connection:
        connection.execute(insert(masks).values(**automatic(1) | {"stage": 1, "id": "e" * 32}))
    assert begin_version(steps=9) == (1, (1, 1))
    with pytest.raises(InputError, match="other options: steps was 9 and is now 8"):
        begin_version(steps=8)
    assert begin_version(steps=8, anew=True) == (2, (1, 2))
    assert begin_version(steps=8) == (2, (1, 2))
    with database.reading() as connection:
        found = [(one.number, one.origin, one.in_use) for one in list_versions(connection)]
    assert found == [(0, None, True), (1, 0, False), (2, 0, False)]
