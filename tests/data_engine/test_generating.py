"""Automatic masks in the database: which photos get them, what is stored, and what people are left."""

import time

import jax
import numpy as np
import pytest
from sqlalchemy import insert, select, update

from sam_jax.data.images import read_image
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.generating import DatabaseRun, choose_photos, open_photos
from sam_jax.data_engine.journal import read_masks
from sam_jax.data_engine.mask_states import make_model_mask
from sam_jax.data_engine.photos import finish_photo, lease_photo, read_photo_row, release_lease
from sam_jax.data_engine.schema import MaskState, Stage, masks
from sam_jax.data_engine.schema import photos as photo_table
from sam_jax.data_engine.statistics import summarise
from sam_jax.data_engine.workplace import register_model
from sam_jax.inference.masking import find_masks, make_generators
from sam_jax.ops.rle import encode_rle
from sam_jax.types import InputError
from tests.data_engine.conftest import write_photos

ARGUMENTS = {
    "points_per_side": 2,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 0.95,
}
NAMES = ("chelsea.png", "coffee.png", "rocket.png")


@pytest.fixture(scope="session")
def generators(model):
    with pytest.MonkeyPatch.context() as patch:
        one = jax.local_devices()[:1]
        patch.setattr(jax, "local_devices", lambda: one)
        return make_generators(model, ARGUMENTS, 2)


@pytest.fixture
def start(database, photos, generators):
    """Prepares a run over the photos that are not masked yet."""

    def prepare(*places):
        folder, inside = open_photos(database, places or (photos,))
        with database.writing() as connection:
            number = register_model(connection, "miniature", "0" * 64)
            chosen = choose_photos(connection, inside)
        return DatabaseRun(generators, database, folder, chosen, number)

    return prepare


def add_mask(database, photo, state, stage, **columns):
    drawn = np.zeros((100, 150), bool)
    drawn[10:20, 30:60] = True
    row = make_model_mask(
        encode_rle(drawn, compress=True)["counts"],
        drawn.shape,
        photo_id=photo,
        stage=stage,
        state=state,
        prompt=None,
        predicted_iou=0.9,
        model_id=None,
        at=time.time(),
    )
    with database.writing() as connection:
        connection.execute(insert(masks).values(**row | columns))


def rows_of(database, photo):
    with database.reading() as connection:
        return read_masks(connection, photo)


def choose(database, *places):
    with database.reading() as connection:
        return choose_photos(connection, places)


def test_photos_get_the_generators_masks_once(database, photos, start, generators):
    run = start()
    assert (run.to_do, run.done_before) == ([*NAMES], 0)
    outcomes = {outcome.name: outcome for outcome in run}
    assert {*outcomes} == {*NAMES}
    for number, found in enumerate(find_masks(generators[0], photos, NAMES), start=1):
        rows = rows_of(database, number)
        assert outcomes[found.name] == (found.name, len(rows), None, False)
        drawn = [record for record in found.records if record["area"]]
        assert len(rows) == len(drawn) > 0
        for row, record in zip(rows, drawn, strict=True):
            assert row["counts"] == record["segmentation"]["counts"]
            assert (row["area"], row["predicted_iou"]) == (record["area"], record["predicted_iou"])
            assert (row["state"], row["stage"]) == ("done", Stage.FULLY_AUTOMATIC)
            assert (row["model_id"], row["person_id"], row["verdict"]) == (1, None, None)
        with database.reading() as connection:
            photo = read_photo_row(connection, number)
        assert (photo["height"], photo["width"]) == read_image(photos / found.name).shape[:2]
        assert photo["finished_at"] is not None
        assert photo["finished_by"] is None
    before = [rows_of(database, number) for number in (1, 2, 3)]
    again = start()
    assert (again.to_do, again.done_before, list(again)) == ([], 3, [])
    assert [rows_of(database, number) for number in (1, 2, 3)] == before
    with database.reading() as connection:
        automatic = summarise(connection)["by_stage"][-1]
    assert automatic == {"name": "fully automatic", "masks": sum(map(len, before)), "share": 1}


@pytest.mark.parametrize(
    ("state", "stage", "is_masked"),
    [
        (MaskState.DONE, Stage.ASSISTED_MANUAL, True),
        (MaskState.DONE, Stage.IMPORTED, True),
        (MaskState.DRAFT, Stage.ASSISTED_MANUAL, True),
        (MaskState.SKIPPED, Stage.ASSISTED_MANUAL, True),
        (MaskState.REMOVED, Stage.SEMI_AUTOMATIC, True),
        (MaskState.PREFILLED, Stage.FULLY_AUTOMATIC, True),
        (MaskState.PREFILLED, Stage.SEMI_AUTOMATIC, False),
    ],
)
def test_a_photo_with_masks_is_masked_unless_nobody_has_looked_at_them(
    tmp_path, state, stage, is_masked
):
    database = Database(tmp_path / "masks.sqlite")
    open_photos(database, [write_photos(tmp_path / "photos")])
    add_mask(database, 2, state, stage)
    chosen = choose(database)
    names = [name for number, name in enumerate(NAMES, start=1) if number != 2 or not is_masked]
    assert [*chosen.numbers] == names
    assert (chosen.finished, chosen.left) == (0, int(is_masked))
    database.close()


def test_what_people_finish_open_or_begin_meanwhile_stays_theirs(
    database, photos, generators, start
):
    with database.writing() as connection:
        assert [*choose_photos(connection, []).numbers] == []
    run = start()
    found = [*find_masks(generators[0], photos, NAMES)]
    with database.writing() as connection:
        finish_photo(connection, 1, lease_photo(connection, 1, "ann", None), is_finished=True)
        lease = lease_photo(connection, 2, "ben", None)
    add_mask(database, 3, MaskState.DRAFT, Stage.ASSISTED_MANUAL)
    assert [*run.keep_all(found)] == [(name, 0, None, True) for name in NAMES]
    assert [len(rows_of(database, number)) for number in (1, 2, 3)] == [0, 0, 1]
    assert choose(database) == ({}, 1, 2)
    with database.writing() as connection:
        release_lease(connection, 2, lease)
    assert choose(database) == ({"coffee.png": 2}, 1, 1)
    outcomes = list(start())
    assert [(name, problem, is_left) for name, _, problem, is_left in outcomes] == [
        ("coffee.png", None, False)
    ]


def test_prefilled_masks_make_way_and_an_expired_lease_holds_nothing(database, start):
    run = start()
    add_mask(database, 2, MaskState.PREFILLED, Stage.SEMI_AUTOMATIC)
    with database.writing() as connection:
        lease_photo(connection, 2, "ben", None)
        connection.execute(update(photo_table).values(leased_until=time.time() - 1))
    assert sum(outcome.masks for outcome in run) > 0
    assert {row["stage"] for row in rows_of(database, 2)} == {Stage.FULLY_AUTOMATIC}


def test_photos_that_cannot_be_used_are_named_and_tried_again(database, photos, start):
    (photos / "damaged.png").write_bytes(b"none")
    run = start()
    (photos / "rocket.png").rename(photos / "gone.txt")
    outcomes = {outcome.name: outcome for outcome in run}
    assert "damaged.png is" in outcomes["damaged.png"].problem
    assert "rocket.png" in outcomes["rocket.png"].problem
    (photos / "gone.txt").rename(photos / "rocket.png")
    (photos / "damaged.png").write_bytes((photos / "coffee.png").read_bytes())
    again = start()
    assert again.to_do == ["damaged.png", "rocket.png"]
    assert [outcome.problem for outcome in again] == [None, None]


def test_places_are_those_of_the_databases_photos(database, photos, tmp_path):
    with pytest.raises(InputError, match="is new: name the folder of its photos"):
        open_photos(database, [])
    assert open_photos(database, [photos])[0] == photos
    write_photos(photos / "more", ("cat",))
    folder, places = open_photos(database, [photos / "more", photos / "coffee.png"])
    assert folder == photos
    assert [*choose(database, *places).numbers] == ["coffee.png", "more/cat.png"]
    with pytest.raises(InputError, match="no such file or folder"):
        open_photos(database, [photos / "none"])
    with pytest.raises(InputError, match=r"is not in .*, the folder of the database's photos"):
        open_photos(database, [tmp_path])
    with database.reading() as connection:
        assert len(connection.execute(select(photo_table.c.id)).all()) == 4
