"""Changes are saved, happen once, and are undone and redone."""

import random
import secrets

import numpy as np
import pytest
from sqlalchemy import insert, update

from sam_jax.data_engine.journal import make_change, read_masks, redo_change, undo_change
from sam_jax.data_engine.mask_states import read_mask
from sam_jax.data_engine.photos import ConflictError, add_photos, lease_photo, read_names
from sam_jax.data_engine.schema import masks, models, photos
from sam_jax.ops.rle import encode_rle
from sam_jax.types import InputError

SIZE = (6, 9)


def draw(pixels=((1, 2),), **fields):
    """A mask as a browser sends it."""
    mask = np.zeros(SIZE, bool)
    mask[tuple(zip(*pixels, strict=True))] = True
    return {
        "id": secrets.token_hex(16),
        "revision": 0,
        "state": "draft",
        "verdict": None,
        "label": "",
        "counts": encode_rle(mask, compress=True)["counts"],
        "prompt": {"base": None, "box": None, "clicks": [[2, 1, 1]], "choice": None},
        "predicted_iou": 0.5,
        "clicks": 1,
        "strokes": 0,
        "seconds": 2.5,
    } | fields


@pytest.fixture
def change(database):
    """Makes changes in photo 1, which is leased."""
    with database.writing() as connection:
        add_photos(connection, ["a.png", "b.png"])
        lease = lease_photo(connection, 1, "ann", None)

    def make(mask, kind="click", change_id=None, photo=1, lease=lease):
        with database.writing() as connection:
            columns, name = read_mask(mask, SIZE), change_id or secrets.token_hex(16)
            return make_change(connection, photo, lease, name, kind, columns)

    def step(direction, number):
        with database.writing() as connection:
            return direction(connection, 1, lease, number)

    make.step = step
    return make


def write(database, statement):
    with database.writing() as connection:
        connection.execute(statement)


def states(database):
    with database.reading() as connection:
        return {row["id"]: (row["state"], row["counts"]) for row in read_masks(connection, 1)}


def test_a_change_that_is_sent_twice_happens_once(database, change):
    mask, name = draw(), secrets.token_hex(16)
    first = change(mask, change_id=name)
    again = change(mask, change_id=name)
    assert first.history == again.history == (1, None)
    assert again.mask["revision"] == 1
    assert again.mask["area"] == 1
    assert again.mask["box"] == "[2, 1, 3, 2]"
    assert len(states(database)) == 1


def test_a_mask_is_not_overwritten_by_who_has_not_seen_it(database, change):
    mask = draw()
    change(mask)
    change(mask | {"revision": 1, "state": "done"}, "finish")
    with pytest.raises(ConflictError, match="has changed meanwhile"):
        change(mask | {"revision": 1, "label": "late"}, "label")
    with pytest.raises(ConflictError, match="has changed meanwhile"):
        change(mask | {"state": "removed"}, "remove")
    assert states(database) == {mask["id"]: ("done", mask["counts"])}


def test_undo_and_redo_go_through_all_that_was_done(database, change):
    mask = draw()
    seen = [states(database)]
    larger = draw(((1, 2), (2, 2)))["counts"]
    steps = (
        ("click", {}),
        ("stroke", {"counts": larger, "prompt": None}),
        ("finish", {"state": "done"}),
        ("remove", {"state": "removed"}),
    )
    for revision, (kind, fields) in enumerate(steps):
        mask |= fields | {"revision": revision}
        history = change(mask, kind).history
        seen.append(states(database))
    for before in reversed(seen[:-1]):
        history = change.step(undo_change, history.undo).history
        assert states(database) == before
    assert history == (None, 1)
    for after in seen[1:]:
        history = change.step(redo_change, history.redo).history
        assert states(database) == after
    assert history == (4, None)


def test_undoing_twice_what_was_asked_for_once_undoes_once(database, change):
    change(draw())
    second = draw(((3, 3),))
    number = change(second).history.undo
    one, other = change.step(undo_change, number), change.step(undo_change, number)
    assert one.history == other.history == (1, 2)
    assert second["id"] not in states(database)


def test_a_change_after_undoing_takes_the_place_of_what_was_undone(change):
    number = change(draw()).history.undo
    change.step(undo_change, number)
    assert change(draw()).history == (2, None)
    with pytest.raises(ConflictError, match="no such change any more"):
        change.step(redo_change, number)


def test_a_mask_keeps_the_model_that_drew_it_until_another_draws_it_anew(database, change):
    for number in (1, 2):
        row = {"name": f"m{number}", "digest": str(number), "since": 0.0, "numbers": "{}"}
        write(database, insert(models).values(row))
    mask = draw(model=1)
    assert change(mask).mask["model_id"] == 1
    with pytest.raises(InputError, match="no model has the number 7"):
        change(mask | {"revision": 1, "model": 7})
    # A page that is older than the number of models leaves it as it is, and so does a new label.
    older = {key: value for key, value in mask.items() if key != "model"}
    assert change(older | {"revision": 1, "label": "cup"}, "label").mask["model_id"] == 1
    assert change(mask | {"revision": 2, "model": 2}).mask["model_id"] == 2
    assert change(draw(prompt=None), "stroke").mask["model_id"] is None


def test_who_corrects_a_mask_of_nobody_answers_for_it(database, change):
    mask = draw()
    change(mask)
    write(database, update(masks).values(stage=3, state="done", person_id=None))
    corrected = change(mask | {"revision": 1, "state": "done"}).mask
    with database.reading() as connection:
        assert read_names(connection)[corrected["person_id"]] == "ann"
    # The photo goes to another person, and the mask stays hers.
    with database.writing() as connection:
        connection.execute(update(photos).values(leased_until=0.0))
        lease = lease_photo(connection, 1, "bob", None)
    again = change(mask | {"revision": 2, "state": "done", "label": "cup"}, "label", lease=lease)
    assert again.mask["person_id"] == corrected["person_id"]


def test_only_who_has_the_photo_changes_it(database, change):
    with pytest.raises(ConflictError, match=r"a\.png is not yours any more; ann has it now"):
        change(draw(), lease="f" * 32)
    with pytest.raises(ConflictError, match=r"b\.png is not yours"):
        change(draw(), photo=2)
    assert states(database) == {}


def test_random_work_is_undone_to_nothing(database, change):
    chance = random.Random(0)
    known, expected, undone = {}, [{}], []
    history = None
    for _ in range(60):
        action = chance.choice(["new", "new", "edit", "edit", "undo", "undo", "redo"])
        if action == "undo" and len(expected) > 1:
            history = change.step(undo_change, history.undo).history
            undone.append(expected.pop())
        elif action == "redo" and undone:
            history = change.step(redo_change, history.redo).history
            expected.append(undone.pop())
        elif action in ("new", "edit"):
            present = sorted(expected[-1])
            pixel = (chance.randrange(6), chance.randrange(9))
            mask = draw((pixel,))
            if action == "edit" and present:
                mask["id"] = chance.choice(present)
                mask["revision"] = known[mask["id"]]
            history = change(mask).history
            undone.clear()
            expected.append(expected[-1] | {mask["id"]: ("draft", mask["counts"])})
        with database.reading() as connection:
            known = {row["id"]: row["revision"] for row in read_masks(connection, 1)}
        assert states(database) == expected[-1]
    while history.undo:
        history = change.step(undo_change, history.undo).history
    assert states(database) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x"},
        {"id": "A" * 32},
        {"revision": -1},
        {"revision": True},
        {"state": "lost"},
        {"verdict": "fine"},
        {"label": "x" * 201},
        {"label": "a\0b"},
        {"label": "\ud800"},
        {"counts": "051"},
        {"counts": 5},
        {"counts": None, "state": "done"},
        {"prompt": {"clicks": []}},
        {"prompt": {"clicks": [[9.5, 1, 1]]}},
        {"prompt": {"clicks": [[1, 1, 2]]}},
        {"prompt": {"clicks": [[1, 1, 1]] * 31}},
        {"prompt": {"clicks": [], "box": [3, 1, 3, 5]}},
        {"prompt": {"clicks": [[1, 1, 1]], "choice": 3}},
        {"prompt": {"clicks": [[1, 1, 1]], "base": "ö"}},
        {"predicted_iou": "high"},
        {"seconds": 1e9},
        {"clicks": 1.5},
        {"owner": "me"},
        {"model": "m"},
    ],
    ids=lambda wrong: repr(wrong)[:40],
)
def test_what_no_mask_can_be_is_refused(wrong):
    with pytest.raises(InputError) as error:
        read_mask(draw() | wrong, SIZE)
    assert "\n" not in str(error.value)
