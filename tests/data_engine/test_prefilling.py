"""Pre-filled masks: where they come from, which photos get them, and what people make of them."""

import secrets

import numpy as np
import pytest

from sam_jax.data.example import Example
from sam_jax.data_engine import prefilling
from sam_jax.data_engine.journal import make_change, read_masks, undo_change
from sam_jax.data_engine.mask_states import Prompt, read_mask, show_mask
from sam_jax.data_engine.photos import (
    ConflictError,
    finish_photo,
    lease_photo,
    read_photo_row,
    release_lease,
)
from sam_jax.data_engine.prefilling import (
    PrefillConfig,
    ProposedMask,
    count_correct,
    prefill,
    propose_masks,
    share_prefilled,
    stability,
)
from sam_jax.data_engine.statistics import summarise
from sam_jax.data_engine.workplace import register_photos
from sam_jax.evaluation.mask_overlap import rle_ious
from sam_jax.inference.object_boxes import find_objects
from sam_jax.models import Detector, DetectorConfig, init_detector
from sam_jax.ops.rle import decode_rle, encode_rle
from sam_jax.types import InputError
from tests.data_engine.conftest import served
from tests.data_engine.test_journal import draw

ALL = PrefillConfig(least_score=0.0, pred_iou_thresh=0.0, stability_score_thresh=0.0)


@pytest.fixture(scope="session")
def detector():
    """A detector with random weights, which finds boxes of all kinds."""
    config = DetectorConfig(embedding_width=16, width=8, depth=1)
    return Detector(config, init_detector(config, seed=1))


@pytest.fixture
def address(tmp_path):
    """What is tested here is the same on every database."""
    return str(tmp_path / "masks.sqlite")


@pytest.fixture
def fill(database, photos, segmenter, detector):
    """Pre-fills all photos."""
    register_photos(database, photos)

    def run(config=ALL):
        done = []
        made = prefill(
            database, photos, segmenter, detector, None, config, lambda *counts: done.append(counts)
        )
        assert made.problems == []
        assert done == [(number, len(done)) for number in range(1, len(done) + 1)]
        return made

    return run


@pytest.fixture
def five(monkeypatch):
    """Five masks in every photo, since those of random weights all lie over one another."""

    def propose(segmenter, _detector, key, _config):
        size = segmenter.find(key).framing.original
        found = []
        for number in range(5):
            mask = np.zeros(size, bool)
            mask[5:25, 12 * number + 2 : 12 * number + 10] = True
            box = (12.0 * number + 2, 5.0, 12.0 * number + 10, 25.0)
            rle = encode_rle(mask, compress=True)
            found.append(ProposedMask(rle, Prompt(None, box, (), None), 0.9))
        return found

    monkeypatch.setattr(prefilling, "propose_masks", propose)


def rows_of(database, photo=1):
    with database.reading() as connection:
        return read_masks(connection, photo)


def lease(database, photo=1, person="ann"):
    with database.writing() as connection:
        return lease_photo(connection, photo, person, None)


def change(database, granted, row, kind, **fields):
    """Change a mask as a browser does, which has got it from the server."""
    shown = show_mask(row, {})
    with database.writing() as connection:
        photo = read_photo_row(connection, row["photo_id"])
        told = {key: shown[key] for key in draw()} | fields
        columns = read_mask(told, (photo["height"], photo["width"]))
        name = secrets.token_hex(16)
        return make_change(connection, row["photo_id"], granted, name, kind, columns)


def test_masks_are_the_models_answers_to_the_detectors_boxes(segmenter, detector):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 100, 3)).astype(np.uint8)
    segmenter.embed("noise", pixels)
    proposed = propose_masks(segmenter, detector, "noise", ALL)
    assert proposed
    boxes = find_objects(
        segmenter.model, detector, segmenter.find("noise"), least_score=0.0, iou_threshold=0.6
    ).boxes
    assert (boxes >= 0).all()
    assert (boxes <= [100.01, 60.01, 100.01, 60.01]).all()
    for mask in proposed:
        assert np.abs(boxes - mask.prompt.box).max(axis=1).min() < 0.02
        answer = segmenter.answer("noise", mask.prompt)
        assert segmenter.draw("noise", answer, 0, is_preview=False).counts == mask.rle["counts"]
    ious = rle_ious([mask.rle for mask in proposed], [mask.rle for mask in proposed])
    assert (ious - np.eye(len(ious)) < 0.5).all()
    least = min(mask.predicted_iou for mask in proposed)
    stricter = PrefillConfig(
        least_score=0.0, pred_iou_thresh=min(1.0, max(0.0, least)), stability_score_thresh=0.0
    )
    fewer = propose_masks(segmenter, detector, "noise", stricter)
    assert all(mask.predicted_iou > least for mask in fewer)
    assert propose_masks(segmenter, detector, "noise", PrefillConfig(least_score=1.0)) == []


def test_stability_is_the_iou_at_two_thresholds():
    assert stability(np.array([[2.0, 1.5, 0.5, -0.5], [-3, -3, -3, -3]])) == 2 / 4
    assert stability(np.full((2, 3), -5.0)) == 0


def test_photos_that_are_finished_or_open_are_left_alone(database, fill):
    with database.writing() as connection:
        finish_photo(connection, 1, lease_photo(connection, 1, "ann", None), is_finished=True)
    lease(database, 2, "ben")
    made = fill()
    assert made.photos == 1
    assert rows_of(database, 1) == rows_of(database, 2) == []
    rows = rows_of(database, 3)
    assert len(rows) == made.masks > 0
    assert {(row["state"], row["stage"], row["person_id"]) for row in rows} == {
        ("prefilled", 2, None)
    }
    assert all(row["area"] and row["box"] and row["prompt"] for row in rows)


@pytest.mark.usefixtures("five")
def test_filling_again_doubles_nothing_and_brings_nothing_back(database, fill):
    fill()
    first, second, *rest = rows_of(database)
    granted = lease(database)
    change(database, granted, first, "accept", state="done")
    change(database, granted, second, "reject", state="removed")
    with database.writing() as connection:
        release_lease(connection, 1, granted)
    fill()
    again = rows_of(database)
    counts = [row["counts"] for row in again]
    assert sorted(counts) == sorted(row["counts"] for row in (first, second, *rest))
    assert {row["counts"]: row["state"] for row in again} == {
        first["counts"]: "done",
        second["counts"]: "removed",
        **{row["counts"]: "prefilled" for row in rest},
    }
    assert {row["id"] for row in again if row["state"] == "prefilled"}.isdisjoint(
        row["id"] for row in rest
    )


@pytest.mark.usefixtures("five")
def test_what_people_make_of_them_is_counted_and_undone(database, fill):
    fill()
    accepted, rejected, finished, corrected, *waiting = rows_of(database)
    granted = lease(database)
    change(database, granted, accepted, "accept", state="done", seconds=1.5)
    change(database, granted, rejected, "reject", state="removed")
    change(database, granted, finished, "finish", state="done", verdict="rejected")
    outcome = change(database, granted, corrected, "stroke", state="draft", prompt=None, strokes=1)
    change(database, granted, outcome.mask, "finish", state="done")
    kept = {row["id"]: row for row in rows_of(database)}
    told = {
        accepted["id"]: ("done", "accepted"),
        rejected["id"]: ("removed", "rejected"),
        finished["id"]: ("done", "accepted"),
        corrected["id"]: ("done", "corrected"),
    }
    for name, (state, verdict) in told.items():
        row = kept[name]
        assert (row["state"], row["verdict"], row["stage"]) == (state, verdict, 2)
        assert row["person_id"] == 1
    with database.reading() as connection:
        numbers = summarise(connection)
    others = sum(len(rows_of(database, photo)) for photo in (2, 3))
    assert numbers["prefilled"] == {
        "accepted": 2,
        "corrected": 1,
        "rejected": 1,
        "waiting": len(waiting) + others,
    }
    assert numbers["masks"] == 3
    with database.writing() as connection:
        for number in (5, 4, 3, 2, 1):
            undo_change(connection, 1, granted, number)
    back = {row["id"]: row for row in rows_of(database)}
    for row in (accepted, rejected, finished, corrected):
        now = back[row["id"]]
        assert all(now[key] == row[key] for key in row if key not in ("revision", "updated_at"))


@pytest.mark.usefixtures("five")
def test_only_what_waits_is_accepted_or_rejected(database, fill):
    fill()
    row = rows_of(database)[0]
    granted = lease(database)
    done = change(database, granted, row, "accept", state="done").mask
    for kind, state in (("accept", "done"), ("reject", "removed")):
        with pytest.raises(ConflictError, match="does not wait"):
            change(database, granted, done, kind, state=state)
    with pytest.raises(InputError, match="is not prefilled"):
        change(database, granted, done, "label", state="prefilled")


class CountedPhotos(list):
    """A source of examples that are in memory."""

    name = "noise"


def encode(*boxes):
    rles = []
    for y0, y1, x0, x1 in boxes:
        mask = np.zeros((20, 30), bool)
        mask[y0:y1, x0:x1] = True
        rles.append(encode_rle(mask, compress=True))
    return rles


def test_an_object_is_prefilled_correctly_by_one_mask_of_its_own():
    truth = encode((0, 10, 0, 10), (10, 20, 10, 30))
    exact, near, off = (0, 10, 0, 10), (0, 8, 0, 10), (10, 16, 10, 30)
    assert count_correct(encode(exact, near), truth, 0.75) == 1
    assert count_correct(encode(near), truth, 0.75) == 1  # IoU 0.8
    assert count_correct(encode(near), truth, 0.85) == 0
    assert count_correct(encode(exact, off), truth, 0.75) == 1  # IoU 0.6
    assert count_correct(encode(exact, off), truth, 0.6) == 2
    assert count_correct([], truth, 0.5) == count_correct(truth, [], 0.5) == 0


def test_the_share_of_objects_that_are_prefilled(segmenter, detector):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 100, 3)).astype(np.uint8)
    segmenter.embed("noise", pixels)
    proposed = propose_masks(segmenter, detector, "noise", ALL)
    missed = np.zeros((60, 100), bool)
    missed[:2, :2] = True
    truth = [decode_rle(mask.rle) for mask in proposed] + [missed]
    source = CountedPhotos([Example("noise", pixels, truth)])
    share = share_prefilled(segmenter, detector, source, ALL)
    assert share == (len(proposed) + 1, len(proposed), len(proposed))
    assert share.share == len(proposed) / (len(proposed) + 1)
    assert share.precision == 1


@pytest.mark.parametrize("name", ["least_score", "pred_iou_thresh", "box_nms_thresh"])
def test_thresholds_beyond_their_range_are_refused(name):
    with pytest.raises(InputError, match=f"{name} is from 0 to 1, not 1.5"):
        PrefillConfig(**{name: 1.5})


@pytest.mark.usefixtures("five")
def test_malformed_decisions_are_refused_by_the_server_and_change_nothing(
    database, fill, workplace
):
    fill()
    with served(workplace) as client:
        opened = client.post("/api/next", person="ann")["opened"]
        url = f"/api/photos/{opened['photo']['id']}/changes"
        shown = opened["masks"][0]
        mask = {key: shown[key] for key in draw()} | {"state": "done"}
        before = rows_of(database)
        good = {"lease": opened["lease"], "change_id": "a" * 32, "kind": "accept", "mask": mask}
        other = draw(counts=mask["counts"], state="done")
        wrong = [
            good | {"kind": "acceptAll"},
            good | {"kind": ["accept"]},
            good | {"kind": None},
            good | {"lease": "f" * 32},
            good | {"mask": mask | {"revision": 7}},
            good | {"mask": mask | {"verdict": "maybe"}},
            good | {"mask": mask | {"state": "prefilled", "counts": 3}},
            good | {"mask": other},
            good | {"mask": other | {"state": "prefilled"}, "kind": "click"},
            good | {"mask": None},
            good | {"mask": mask | {"stage": 1}},
        ]
        for body in wrong:
            status, answer = client.ask("POST", url, body)
            assert status in (400, 409), (body, answer)
            assert "\n" not in answer["error"]
        assert rows_of(database) == before
        assert client.post(url, **good)["mask"]["verdict"] == "accepted"
        assert client.post(url, **good)["mask"]["verdict"] == "accepted"  # sent twice
        assert client.said == []
