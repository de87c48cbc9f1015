"""The check of automatic masks: which photos are drawn, and what is made of people's corrections."""

import numpy as np
import pytest

from sam_jax.cli.main import main
from sam_jax.data_engine.checking import Check, Sample, draw_sample, measure_sample
from sam_jax.data_engine.generating import choose_photos, open_photos, store_masks
from sam_jax.data_engine.journal import make_change, undo_change
from sam_jax.data_engine.mask_states import read_mask
from sam_jax.data_engine.photos import finish_photo, lease_next, lease_photo, release_lease
from sam_jax.data_engine.prefilling import store_proposed
from sam_jax.data_engine.schema import checks, photos
from sam_jax.data_engine.statistics import summarise
from sam_jax.data_engine.workplace import register_model
from sam_jax.inference.masking import PhotoMasks
from sam_jax.ops.rle import encode_rle
from tests.data_engine.test_journal import draw
from tests.data_engine.test_prefilling import change, lease, rows_of

SIZE = (40, 60)


def encode(y0, y1, x0, x1):
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return encode_rle(mask, compress=True)


def mask_all(database, names):
    """Five automatic masks, each of 100 pixels, for every photo."""
    records = [
        {"segmentation": encode(5, 15, 10 * k, 10 * k + 10), "area": 100, "predicted_iou": 0.9}
        for k in range(5)
    ]
    with database.writing() as connection:
        model = register_model(connection, "miniature", "0" * 64)
        for path, number in choose_photos(connection, []).numbers.items():
            assert path in names
            version = {"height": 40, "width": 60, "file_size": 1, "modified_ns": 1}
            found = PhotoMasks(path, records, SIZE, None)
            assert store_masks(connection, number, version, found, model) == 5


@pytest.fixture
def masked(database, tmp_path):
    """A database of twelve photos with automatic masks."""
    folder = tmp_path / "photos"
    folder.mkdir()
    names = [f"{number:02}.png" for number in range(12)]
    for name in names:
        (folder / name).write_bytes(b"never opened here")
    open_photos(database, [folder])
    mask_all(database, names)
    return database


def sample(database, count, seed=0):
    with database.writing() as connection:
        return draw_sample(connection, count, seed)


def measure(database):
    with database.reading() as connection:
        return measure_sample(connection)


def drawn(database):
    with database.reading() as connection:
        return {row.photo_id for row in connection.execute(checks.select())}


def test_a_sample_is_stable_grows_and_is_offered_to_people(masked):
    with masked.writing() as connection:
        assert lease_next(connection, "ann", None) is None
    assert measure(masked) == Check(0, 0, [], 0, 0, 0)
    assert sample(masked, 3) == Sample(3, 15)
    first = drawn(masked)
    assert sample(masked, 3) == sample(masked, 2) == Sample(0, 0)
    assert sample(masked, 5) == Sample(2, 10)
    assert first < drawn(masked)
    with masked.writing() as connection:
        offered = {lease_next(connection, f"p{number}", None)[0] for number in range(5)}
        assert offered == drawn(masked)
        assert lease_next(connection, "another", None) is None
        assert choose_photos(connection, []) == ({}, 7, 5)  # nothing is masked anew
    for number in first:
        assert {row["state"] for row in rows_of(masked, number)} == {"prefilled"}
    assert sample(masked, 50) == Sample(7, 35)
    assert measure(masked) == Check(12, 0, [], 0, 0, 0)


def test_seeds_draw_different_photos(masked, tmp_path):
    sample(masked, 4, seed=1)
    ones = drawn(masked)
    with masked.writing() as connection:
        connection.execute(checks.delete())
        connection.execute(photos.update().values(finished_at=1.0))
    sample(masked, 4, seed=1)
    assert drawn(masked) == ones
    with masked.writing() as connection:
        connection.execute(checks.delete())
        connection.execute(photos.update().values(finished_at=1.0))
    sample(masked, 4, seed=2)
    assert drawn(masked) != ones


def test_photos_that_people_finished_or_have_open_are_not_drawn(masked):
    held = lease(masked, 1)
    granted = lease(masked, 2)
    with masked.writing() as connection:
        finish_photo(connection, 2, granted, is_finished=True)
    assert sample(masked, 50) == Sample(10, 50)
    assert drawn(masked) == {*range(3, 13)}
    with masked.writing() as connection:
        release_lease(connection, 1, held)
    assert sample(masked, 50) == Sample(1, 5)


def test_what_people_make_of_the_masks_is_counted(masked):
    sample(masked, 50)
    accepted, corrected, rejected, back, waiting = rows_of(masked, 1)
    granted = lease(masked)
    change(masked, granted, accepted, "accept", state="done")
    nearly = encode(5, 15, 10, 18)["counts"]  # IoU 0.8
    outcome = change(
        masked, granted, corrected, "stroke", state="draft", prompt=None, counts=nearly
    )
    further = encode(5, 15, 10, 17)["counts"]  # IoU 0.7 with the automatic one
    outcome = change(masked, granted, outcome.mask, "stroke", state="draft", counts=further)
    change(masked, granted, outcome.mask, "finish", state="done")
    change(masked, granted, rejected, "reject", state="removed")
    undone = change(masked, granted, back, "stroke", state="draft", prompt=None, counts=nearly)
    with masked.writing() as connection:
        undo_change(connection, 1, granted, undone.history.undo)
    mine = draw(counts=encode(20, 30, 0, 9)["counts"], state="done", prompt=None)
    with masked.writing() as connection:
        make_change(connection, 1, granted, "e" * 32, "stroke", read_mask(mine, SIZE))
    assert measure(masked) == Check(12, 0, [], 0, 0, 0)
    back = next(row for row in rows_of(masked) if row["id"] == back["id"])
    change(masked, granted, back, "accept", state="done")
    with masked.writing() as connection:
        finish_photo(connection, 1, granted, is_finished=True)
    found = measure(masked)
    assert found._replace(ious=[]) == Check(12, 1, [], 1, 1, 1)
    assert sorted(found.ious) == pytest.approx([0.7, 1, 1])
    assert found.share_above(0.9) == pytest.approx(2 / 3)
    assert found.share_above(0.7) == pytest.approx(2 / 3)  # above, not at
    kept = {row["id"]: row for row in rows_of(masked)}
    verdicts = {accepted["id"]: "accepted", corrected["id"]: "corrected"}
    verdicts |= {rejected["id"]: "rejected", back["id"]: "accepted", waiting["id"]: None}
    assert {name: kept[name]["verdict"] for name in verdicts} == verdicts
    assert {kept[name]["stage"] for name in verdicts} == {3}
    with masked.reading() as connection:
        assert summarise(connection)["prefilled"]["waiting"] == 0  # those are of stage 2


def test_a_detector_leaves_the_sample_alone(masked):
    sample(masked, 2)
    before = [rows_of(masked, number) for number in drawn(masked)]
    version = {"height": 40, "width": 60, "file_size": 1, "modified_ns": 1}
    with masked.writing() as connection:
        for number in drawn(masked):
            assert store_proposed(connection, number, version, [], None) == 0
    assert [rows_of(masked, number) for number in drawn(masked)] == before


def test_the_command_prints_the_numbers_beside_the_papers(masked, address, tmp_path, capsys):
    assert main(["engine", "check", address]) == 2
    assert "no photos to check: --sample N draws some" in capsys.readouterr().err
    assert main(["engine", "check", address, "--sample", "0"]) == 2
    assert "--sample is 1 or more" in capsys.readouterr().err
    assert main(["engine", "check", str(tmp_path / "none.sqlite")]) == 2
    assert "no such database" in capsys.readouterr().err
    assert main(["engine", "check", address, "--sample", "4"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "drew 4 photos with 20 automatic masks: correct them in sam-jax annotate",
        "0 of 4 photos to check are finished",
    ]
    number = min(drawn(masked))
    one, other, *_ = rows_of(masked, number)
    granted = lease(masked, number)
    change(masked, granted, one, "accept", state="done")
    nearly = encode(5, 15, 10, 18)["counts"]
    change(masked, granted, other, "stroke", state="done", prompt=None, counts=nearly)
    with masked.writing() as connection:
        lease_photo(connection, number, "ann", granted)
        finish_photo(connection, number, granted, is_finished=True)
    assert main(["engine", "check", address]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 of 4 photos to check are finished",
        "IoU of 2 pairs of automatic and corrected masks: 50.0% above 0.90 (the paper: 94%), "
        "100.0% above 0.75 (the paper: 97%)",
        "0 automatic masks rejected, 3 not decided on, 0 added by people",
    ]
