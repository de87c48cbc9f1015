"""Masks go from the database into files and back, and the database itself is a data set."""

import contextlib
import json

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import insert

from sam_jax.data.annotation_database import AUTOMATIC
from sam_jax.data.example import RecordError
from sam_jax.data.folders import list_photos
from sam_jax.data.pixel_runs import find_runs
from sam_jax.data.sources import open_source
from sam_jax.data.subset import hold_out
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.journal import make_change, read_masks
from sam_jax.data_engine.mask_states import read_mask
from sam_jax.data_engine.masks_in import import_masks, pack_runs
from sam_jax.data_engine.masks_out import export_masks
from sam_jax.data_engine.photos import lease_photo
from sam_jax.data_engine.schema import Stage, settings
from sam_jax.data_engine.workplace import register_photos
from sam_jax.evaluation.splits import open_split
from sam_jax.ops.rle import encode_rle
from sam_jax.storage import mark_as_output
from sam_jax.types import InputError
from tests.data_engine.conftest import SIZES
from tests.data_engine.test_journal import draw

LARGE, SMALL = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
LARGE[2:18, 3:25], SMALL[4:9, 10:20] = True, True
SMALL[15:, 28:] = True  # partly beside the large one


@pytest.fixture
def photos(three_photos):
    return three_photos


def annotate(database, photos):
    """Masks of two photos, by two people; return the masks by photo."""
    register_photos(database, photos)
    drawn = {"a/one.png": [("ann", "box", LARGE), ("bob", "", SMALL)], "two.png": []}
    drawn["two.png"] = [("bob", "dot", np.eye(12, 17, dtype=bool))]
    with database.writing() as connection:
        numbers = {"a/one.png": 1, "none.png": 2, "two.png": 3}
        for path, masks in drawn.items():
            for person, label, mask in masks:
                lease = lease_photo(connection, numbers[path], person, None)
                sent = draw(counts=encode_rle(mask, compress=True)["counts"], prompt=None)
                sent |= {"label": label, "state": "done", "seconds": 7.5, "clicks": 3}
                columns = read_mask(sent, SIZES[path])
                make_change(connection, numbers[path], lease, columns["id"], "finish", columns)
                connection.exec_driver_sql("UPDATE photos SET leased_until = 0")
        for path, (height, width) in SIZES.items():
            connection.exec_driver_sql(
                f"UPDATE photos SET height = {height}, width = {width} WHERE path = '{path}'"
            )
    return {path: [mask for *_, mask in masks] for path, masks in drawn.items()}


def read_all(source):
    """Masks by photo, as a source gives them."""
    read = {}
    for index in range(len(source)):
        example = source[index]
        masks = [example.masks[k] for k in range(len(example.masks))]
        assert all(mask.shape == example.image.shape[:2] for mask in masks)
        read[example.name] = masks
    return read


def read_examples(source):
    return [source[index] for index in range(len(source))]


def assert_same(read, drawn):
    assert len(read) == len(drawn)
    for path, masks in drawn.items():
        (found,) = [masks for name, masks in read.items() if name.endswith(path)]
        np.testing.assert_array_equal(found, masks)


@pytest.mark.parametrize("form", ["sa1b", "coco"])
def test_an_export_is_a_data_set_and_comes_back_with_who_and_when(database, photos, tmp_path, form):
    drawn = annotate(database, photos)
    written = export_masks(database, photos, tmp_path / "out", form)
    assert (written.photos, written.masks, written.problems) == (2, 3, [])
    place = tmp_path / "out" / ("annotations.json" if form == "coco" else "")
    assert_same(read_all(open_source(place)), drawn)
    with contextlib.closing(Database(tmp_path / "other.sqlite")) as other:
        taken = import_masks(other, photos, place)
        assert (taken.photos, taken.masks, taken.known, taken.problems) == (2, 3, 0, [])
        again = import_masks(other, photos, place)
        assert (again.photos, again.masks, again.known) == (0, 0, 3)
        for connection_of in (database, other):
            with connection_of.reading() as connection:
                rows = read_masks(connection, 1)
            kept = [(row["label"], row["seconds"], row["clicks"], row["stage"]) for row in rows]
            assert kept == [("box", 7.5, 3, 1), ("", 7.5, 3, 1)]
    with pytest.raises(InputError, match="cannot write"):
        export_masks(database, photos, tmp_path / "out", form)


def test_categories_of_coco_are_labels(database, photos, tmp_path):
    annotate(database, photos)
    export_masks(database, photos, tmp_path / "out", "coco")
    document = json.loads((tmp_path / "out/annotations.json").read_text())
    assert [category["name"] for category in document["categories"]] == ["object", "box", "dot"]
    assert [a["category_id"] for a in document["annotations"]] == [2, 1, 3]
    assert [a["annotator"] for a in document["annotations"]] == ["ann", "bob", "bob"]


def test_label_maps_have_small_masks_on_large_ones(database, photos, tmp_path):
    drawn = annotate(database, photos)
    assert export_masks(database, photos, tmp_path / "out", "labels").problems == []
    labels = np.asarray(Image.open(tmp_path / "out/labels/a/one.png"))
    np.testing.assert_array_equal(labels == 2, SMALL)
    np.testing.assert_array_equal(labels == 1, LARGE & ~SMALL)
    with contextlib.closing(Database(tmp_path / "other.sqlite")) as other:
        taken = import_masks(other, photos, tmp_path / "out")
        assert (taken.photos, taken.masks) == (2, 3)
        with other.reading() as connection:
            rows = read_masks(connection, 1)
        assert {row["stage"] for row in rows} == {Stage.IMPORTED}
        assert sorted(row["area"] for row in rows) == sorted(
            [int(SMALL.sum()), int((LARGE & ~SMALL).sum())]
        )
    assert drawn


def test_what_does_not_fit_is_left_out_and_named(database, photos, tmp_path):
    annotate(database, photos)
    export_masks(database, photos, tmp_path / "out", "sa1b")
    Image.new("RGB", (4, 4)).save(tmp_path / "out/stranger.png")
    (tmp_path / "out/stranger.json").write_text('{"annotations": []}')
    Image.new("RGB", (31, 20)).save(photos / "a/one.png")
    with contextlib.closing(Database(tmp_path / "other.sqlite")) as other:
        taken = import_masks(other, photos, tmp_path / "out")
    assert (taken.photos, taken.masks) == (1, 1)
    assert len(taken.problems) == 2
    assert "30 wide and 20 high, but the photo is 31 wide" in taken.problems[0]
    assert "stranger.png: there is no such photo in the folder" in taken.problems[1]


def test_the_database_is_a_data_set(database, address, photos):
    drawn = annotate(database, photos)
    source = open_source(address)
    assert source.name == address or "@" in address
    assert_same(read_all(source), drawn)
    (photos / "two.png").unlink()
    with pytest.raises(RecordError, match="no such file"):
        source[1]


def test_a_database_that_has_moved_with_its_photos_is_a_data_set(photos, tmp_path):
    with contextlib.closing(Database(photos / "annotations.sqlite")) as database:
        with pytest.raises(InputError, match="has no masks yet"):
            open_source(photos / "annotations.sqlite")
        drawn = annotate(database, photos)
    photos.rename(tmp_path / "elsewhere")
    assert_same(read_all(open_source(tmp_path / "elsewhere/annotations.sqlite")), drawn)
    (tmp_path / "x.sqlite").write_text("none")
    with pytest.raises(InputError, match="is no database of annotations"):
        open_source(tmp_path / "x.sqlite")


def test_what_is_held_back_stays_so_while_masks_come_in(database, address, photos):
    annotate(database, photos)
    before = hold_out(open_source(address), 2)
    assert [[example.name for example in part] for part in map(read_examples, before)] == [
        [],
        [str(photos / "a/one.png"), str(photos / "two.png")],
    ]
    with database.writing() as connection:  # the second photo gets its first mask
        connection.exec_driver_sql(
            "UPDATE masks SET photo_id = 2, counts = '0N' WHERE label = 'dot'"
        )
    learned, held = hold_out(open_source(address), 2)
    assert [example.name for example in read_examples(held)] == [str(photos / "a/one.png")]
    assert [example.name for example in read_examples(learned)] == [str(photos / "none.png")]
    assert open_split(f"photos={address}@2").indices == [0]


def test_automatic_masks_that_nobody_has_seen_are_not_learned_from(database, address, photos):
    annotate(database, photos)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE masks SET stage = 3")
        connection.exec_driver_sql("UPDATE masks SET person_id = NULL WHERE label <> 'box'")
    (example,) = read_examples(open_source(address))
    assert len(example.masks) == 1  # the one that a person has corrected
    np.testing.assert_array_equal(example.masks[0], LARGE)
    with database.writing() as connection:
        connection.execute(insert(settings).values(name=AUTOMATIC, value=""))
    assert [len(example.masks) for example in read_examples(open_source(address))] == [2, 1]


def test_what_was_written_into_the_folder_is_no_photo(database, photos):
    annotate(database, photos)
    export_masks(database, photos, photos / "exported", "sa1b")
    mark_as_output(photos / "a")
    (photos / "a/pictures").mkdir()
    Image.new("RGB", (4, 4)).save(photos / "a/pictures/step.png")
    assert list_photos(photos) == ["none.png", "two.png"]
    assert list_photos(photos / "a") == ["one.png", "pictures/step.png"]
    assert len(open_source(photos / "exported")) == 2


def test_runs_are_packed_as_they_are_encoded():
    chance = np.random.default_rng(0)
    for share in (0.0, 0.3, 0.9, 1.0):
        mask = chance.random((7, 11)) < share
        assert pack_runs(find_runs(mask)) == encode_rle(mask, compress=True)["counts"]
