"""Versions of the model: which is in use, and how a server that runs takes it up."""

import contextlib

import numpy as np
import pytest
from sqlalchemy import func, insert, select, update

from sam_jax.cli.main import main
from sam_jax.data.sources import open_source
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.renewal import Renewal
from sam_jax.data_engine.schedule import PAPER, ScheduleConfig
from sam_jax.data_engine.schema import Stage, masks, photos, versions
from sam_jax.data_engine.segmenter import Segmenter
from sam_jax.data_engine.snapshots import take_snapshot
from sam_jax.data_engine.versions import (
    add_version,
    find_photo_folder,
    find_version_in_use,
    find_versions_folder,
    list_versions,
    load_version,
    open_version_in_use,
    use_version,
)
from sam_jax.data_engine.workplace import Workplace, register_model, register_photos
from sam_jax.types import InputError
from tests.data_engine.conftest import served, write_photos
from tests.data_engine.test_exchange import annotate, read_all
from tests.data_engine.test_journal import draw
from tests.data_engine.test_server import begin, masks_of, predict, save


def add_trained(database, weights):
    """A trained version with the given weights, in the folder where it belongs."""
    folder = find_versions_folder(database)
    with database.writing() as connection:
        number = add_version(connection, "", origin=0, photos=3, masks=5)
        path = folder / str(number) / "weights.safetensors"
        path.parent.mkdir(parents=True)
        path.write_bytes(weights.read_bytes())
        known = select(func.count()).select_from(versions)
        digest = f"digest {connection.execute(known).scalar_one()}"
        connection.execute(
            update(versions)
            .where(versions.c.number == number)
            .values(
                weights=f"{folder.name}/{number}/weights.safetensors",
                model_id=register_model(connection, f"version {number}", digest),
                made_at=1.0,
            )
        )
    return path


def in_use(database):
    with database.reading() as connection:
        return [version.number for version in list_versions(connection) if version.in_use]


def test_one_version_is_in_use_and_any_that_is_complete_can_be(database):
    with database.writing() as connection:
        for number in range(3):
            model = register_model(connection, f"m{number}", str(number))
            add_version(connection, f"{number}", model_id=model, made_at=1.0)
        add_version(connection, "next", origin=0)
        assert find_version_in_use(connection) is None
    for number in (0, 2, 1):
        with database.writing() as connection:
            assert use_version(connection, number).name == f"m{number}"
        assert in_use(database) == [number]
    with database.writing() as connection:
        with pytest.raises(InputError, match=r"no version 7; versions: 0, 1, 2, 3"):
            use_version(connection, 7)
        with pytest.raises(InputError, match="training of version 3 has not ended"):
            use_version(connection, 3)
    assert in_use(database) == [1]


@pytest.fixture
def file(tmp_path):
    """What is tested with it is the same on every database."""
    write_photos(tmp_path / "photos", ("coffee",))
    with contextlib.closing(Database(tmp_path / "photos" / "annotations.sqlite")) as database:
        register_photos(database, tmp_path / "photos")
        yield database


def test_what_is_in_use_answers_whatever_weights_the_loop_began_with(file, weights):
    version, _ = open_version_in_use(file, weights[0])
    assert (version.number, version.name, version.in_use) == (0, "0.safetensors", True)
    trained = add_trained(file, weights[1])
    with file.writing() as connection:
        use_version(connection, 1)
    # The command of every morning changes nothing, and weights that are new are put in use.
    with pytest.raises(InputError, match="is not what was trained as version 1"):
        open_version_in_use(file, weights[0])
    with file.writing() as connection:
        connection.execute(update(versions).where(versions.c.number == 1).values(model_id=1))
    trained.write_bytes(weights[0].read_bytes())
    for checkpoint in (None, weights[0]):
        assert open_version_in_use(file, checkpoint)[0].number == 1
    assert open_version_in_use(file, weights[2])[0].number == 2
    assert in_use(file) == [2]


def test_given_weights_that_have_changed_are_another_version(file, weights, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(weights[0].read_bytes())
    open_version_in_use(file, path)
    path.write_bytes(weights[1].read_bytes())
    version, _ = open_version_in_use(file, path)
    assert (version.number, in_use(file)) == (1, [1])


@pytest.fixture
def renewal(file, weights, tmp_path):
    """A workplace with version 0, and what takes further ones up."""
    said = []

    def make_segmenter(model):
        return Segmenter(model, tmp_path / "embeddings", 10**9, said.append)

    version, model = open_version_in_use(file, weights[0])
    workplace = Workplace(
        tmp_path / "photos", file, make_segmenter(model), version.name, said.append
    )
    renewal = Renewal(workplace, make_segmenter, said.append)
    renewal.workplace, renewal.said = workplace, said
    return renewal


def give(file, path, number):
    with file.writing() as connection:
        model = register_model(connection, f"version {number}", "?")
        add_version(connection, str(path), model_id=model, made_at=1.0)
        use_version(connection, number)


def test_a_running_server_takes_up_what_is_in_use(renewal, file, weights):
    place = renewal.workplace
    place.model.segmenter.compile()
    with served(place) as client:
        opened = begin(client)
        renewal.look()
        assert renewal.said == []
        first = predict(client, opened, clicks=[[70.5, 40.0, 1]])
        prompt = {"base": None, "box": None, "clicks": [[70.5, 40.0, 1]], "choice": None}
        mask = draw(counts=first["mask"]["rle"]["counts"], prompt=prompt, model=first["model"])
        before = place.model.segmenter
        give(file, weights[1], 1)
        renewal.look()
        # The weights tell the version: one that was given and is not as it was noted is another.
        assert place.model.segmenter is not before
        second = predict(client, opened, clicks=[[70.5, 40.0, 1]])
        assert second["model"] != first["model"]
        assert second["mask"]["predicted_iou"] != first["mask"]["predicted_iou"]
        # What was on its way from the version before says so, and is there.
        save(client, opened, mask)
        later = draw(counts=second["mask"]["rle"]["counts"], prompt=prompt, model=second["model"])
        save(client, opened, later)
        kept = masks_of(client, opened)
        assert [kept[one["id"]]["model"] for one in (mask, later)] == [
            first["model"],
            second["model"],
        ]
        assert kept[mask["id"]]["counts"] == mask["counts"]
        with file.writing() as connection:
            use_version(connection, 0)
        renewal.look()
        again = predict(client, opened, clicks=[[70.5, 40.0, 1]])
        assert again == first
    assert [line.partition(":")[0] for line in renewal.said] == [
        "version 2 of the model answers now",
        "version 0 of the model answers now",
    ]


def test_a_version_that_cannot_be_loaded_is_said_once_and_the_one_before_goes_on(renewal, file):
    model = renewal.workplace.model
    give(file, file.path.parent / "gone.safetensors", 1)
    for _ in range(3):
        renewal.look()
    assert renewal.workplace.model is model
    assert len(renewal.said) == 1
    assert "version 1 cannot be taken up" in renewal.said[0]


def test_a_snapshot_stays_as_it_is_and_has_what_people_have_seen(database, three_photos, tmp_path):
    drawn = annotate(database, three_photos)
    with database.writing() as connection:
        connection.execute(insert(masks).values(**automatic(2)))
    assert find_photo_folder(database) == three_photos
    path, all_path = tmp_path / "copy.sqlite", tmp_path / "all.sqlite"
    (tmp_path / ".copy.sqlite.unfinished").write_text("killed")
    assert take_snapshot(database, path, with_automatic=False) == (2, 3)
    assert take_snapshot(database, all_path, with_automatic=True) == (3, 4)
    with database.writing() as connection:
        connection.execute(masks.delete())
    source = open_source(path)
    assert source.list_numbers() == [0, 2]
    read = read_all(source)
    for name, expected in drawn.items():
        np.testing.assert_array_equal(read[str(three_photos / name)], expected)
    assert len(open_source(all_path)) == 3
    with pytest.raises(InputError, match="has no masks yet"):
        take_snapshot(database, path, with_automatic=True)
    assert [path.name for path in sorted(tmp_path.glob("*copy*"))] == ["copy.sqlite"]


def automatic(photo):
    return {
        **{"id": "f" * 32, "photo_id": photo, "revision": 1, "state": "done", "stage": 3},
        **{"label": "", "counts": "0N", "area": 30, "clicks": 0, "strokes": 0, "seconds": 0.0},
        **{"created_at": 1.0, "updated_at": 1.0},
    }


def test_the_papers_rounds_are_spread_over_the_photos():
    rounds = PAPER.list_rounds()
    stages = [one.stage for one in rounds]
    assert stages == [Stage.ASSISTED_MANUAL] * 6 + [Stage.SEMI_AUTOMATIC] * 5
    assert [one.photos for one in rounds[:6]] == [20_000 * k for k in range(1, 7)]
    assert (rounds[0].encoder, rounds[5].encoder, rounds[10].photos) == ("vit_b", "vit_h", 300_000)
    small = ScheduleConfig(photos=50)
    assert [one.photos for one in small.list_rounds()] == [3, 7, 10, 13, 17, 20, 26, 32, 38, 44, 50]
    assert small.find_next(2).number == 3
    assert small.find_next(11) is None
    with pytest.raises(InputError, match="1 photo at least"):
        ScheduleConfig(photos=0)


def test_status_and_use_tell_how_far_the_loop_has_come(file, weights, capsys):
    with file.writing() as connection:
        connection.execute(insert(photos).values(path="x.png", last_change=0, leased_until=0.0))
    open_version_in_use(file, weights[0])
    path = add_trained(file, weights[1])
    with file.writing() as connection:
        connection.execute(
            insert(masks).values(**automatic(1) | {"stage": 1, "model_id": 1, "clicks": 3})
        )
        numbers = (
            '{"before": [0.5, 0.6, 0.7], "after": [0.625, 0.7, 0.8], "photos": 2, "objects": 9}'
        )
        connection.execute(update(versions).where(versions.c.number == 1).values(numbers=numbers))
        add_version(connection, "x", origin=1)
    place = str(file.path)
    assert main(["engine", "use", place, "1"]) == 0
    assert "version 1 is in use: version 1" in capsys.readouterr().out
    assert main(["engine", "status", place, "--by-hand", "20"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 photos: 1 with masks of people, 0 finished",
        "assisted-manual masks: 1 done",
        "version 0: 0.safetensors, as it was given | 1 mask drawn with it, 0.0 s (median) and 3.0 clicks each",
        "version 1 (in use): from version 0, 5 masks of 3 photos | held back: mean IoU of one click 0.500 -> 0.625",
        "version 2: training has not ended",
        "next: round 2 of the paper's schedule, there with vit_b, at 3 photos with masks: "
        f"sam-jax engine train {place}",
    ]
    path.unlink()
    assert main(["engine", "use", place, "0"]) == 0
    for options, message in (
        (("use", place, "1"), "the weights of version 1 are gone"),
        (("use", place, "2"), "training of version 2 has not ended"),
        (("use", f"{place}.none", "2"), "no such file"),
        (("status", f"{place}.none"), "no such file"),
        (("train", f"{place}.none"), "no such file"),
        (("status", place, "--by-hand", "0"), "1 photo at least"),
    ):
        assert main(["engine", *options]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert in_use(file) == [0]
    with file.reading() as connection:
        assert load_version(file, list_versions(connection)[0])[0].number == 0
