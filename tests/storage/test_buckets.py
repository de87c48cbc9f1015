"""Places in a bucket, on a real server of the S3 protocol."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import obstore
import pytest
from PIL import Image

from sam_jax.checkpoints import load_checkpoint, save_checkpoint
from sam_jax.cli.main import main
from sam_jax.data.images import read_image, write_image
from sam_jax.data.sources import open_source
from sam_jax.models import init_variables
from sam_jax.storage import (
    BucketPath,
    atomic_file,
    atomic_folder,
    copy_file,
    files_together,
    have_same_content,
    locate,
    remove_folder,
    write_json,
    write_text,
)
from sam_jax.storage.buckets import explaining_bucket
from sam_jax.types import InputError, RunError
from tests.training.conftest import MINIATURE


@pytest.fixture
def place(bucket):
    return locate(bucket)


@pytest.mark.parametrize("text", ["s3://pod/a/b", "s3:/pod/a/b", "s3://pod/a/b/"])
def test_an_address_stays_one(text):
    path = locate(Path(text))
    assert isinstance(path, BucketPath)
    assert str(path) == os.fspath(path) == f"{path}" == "s3://pod/a/b"
    assert (path.key, path.name, str(path.parent)) == ("a/b", "b", "s3://pod/a")
    assert str((path / "c.json").with_suffix(".png").relative_to(path)) == "c.png"
    assert pickle.loads(pickle.dumps(path)) == path == path.absolute() == path.resolve()
    assert type(pickle.loads(pickle.dumps(path / "c"))) is BucketPath
    assert locate(path) is path
    assert str(locate("gs://pod/x")) == "gs://pod/x"


def test_other_places(tmp_path, monkeypatch):
    assert type(locate("a/b")) is type(Path("a/b"))
    for text in ("az://pod/a", "https://example.org/a.png", "file:///a"):
        with pytest.raises(InputError, match="name a local path, or gs://"):
            locate(text)
    with pytest.raises(InputError, match="names no bucket"):
        locate("s3://")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:").mkdir()
    assert locate("s3:/") == Path("s3:")


def test_objects_and_folders(place):
    assert not place.exists()
    for name in ("a.txt", "b/c.txt", "b/d/e.json", "f.json"):
        write_text(place / name, name)
    assert (place / "b" / "d" / "e.json").read_text() == "b/d/e.json"
    assert place.is_dir()
    assert (place / "b").is_dir()
    assert not (place / "b").is_file()
    assert (place / "a.txt").is_file()
    assert not (place / "a.txt").is_dir()
    assert (place / "a.txt").stat().st_size == 5
    assert [path.name for path in place.iterdir()] == ["a.txt", "b", "f.json"]
    assert [path.name for path in place.glob("*.json")] == ["f.json"]
    assert [str(path.relative_to(place)) for path in place.glob("*/*/*.json")] == ["b/d/e.json"]
    assert [path.name for path in place.glob("b/c.txt")] == ["c.txt"]
    assert sorted(place.list_below()) == ["a.txt", "b/c.txt", "b/d/e.json", "f.json"]
    (place / "a.txt").unlink()
    (place / "a.txt").unlink(missing_ok=True)
    remove_folder(place / "b")
    assert sorted(place.list_below()) == ["f.json"]
    for refused in (lambda: place.rename("x"), lambda: (place / "x").open("w")):
        with pytest.raises(OSError, match="in a bucket"):
            refused()


def test_large_objects_are_read_piece_by_piece(place):
    numbers = np.arange(3_000_000, dtype=np.int64)
    with atomic_file(place / "large") as file:
        file.write(numbers.tobytes())
    with (place / "large").open("rb") as file:
        file.seek(8 * 1_234_567)
        assert np.frombuffer(file.read(16), np.int64).tolist() == [1_234_567, 1_234_568]
        file.seek(-8, os.SEEK_END)
        assert np.frombuffer(file.read(), np.int64).tolist() == [2_999_999]
        file.seek(0)
        assert file.read() == numbers.tobytes()


def test_an_exception_leaves_no_trace(place):
    def fail(make):
        with make as new:
            if isinstance(new, Path):
                (new / "x").write_bytes(b"half")
            else:
                new.write(b"half")
            raise ZeroDivisionError

    write_text(place / "x", "old")
    for make in (
        atomic_file(place / "x"),
        atomic_folder(place / "folder", "x"),
        files_together(place, "x"),
    ):
        with pytest.raises(ZeroDivisionError):
            fail(make)
    assert [*place.list_below()] == ["x"]
    assert (place / "x").read_text() == "old"


def test_the_last_file_is_there_only_with_all_others(place, monkeypatch):
    def write(replaces):
        with atomic_folder(place, "a", replaces=replaces) as folder:
            for name in ("a", "b", "c"):
                (folder / name).write_text(name)

    write(False)
    with pytest.raises(InputError, match="File exists"):
        write(False)
    upload = BucketPath.upload

    def fail_at_c(path, content):
        if path.name == "c":
            raise RunError("gone")
        upload(path, content)

    monkeypatch.setattr(BucketPath, "upload", fail_at_c)
    with pytest.raises(RunError, match="gone"):
        write(True)
    assert [*place.list_below()] == ["b"]
    monkeypatch.undo()
    write(True)
    assert sorted(place.list_below()) == ["a", "b", "c"]


def test_copies(place, tmp_path):
    (tmp_path / "source").write_bytes(b"photo")
    copy_file(tmp_path / "source", place / "copy")
    copy_file(place / "copy", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"photo"
    assert have_same_content(tmp_path / "source", place / "copy")
    write_text(place / "other", "photO")
    assert not have_same_content(place / "other", place / "copy")
    assert not have_same_content(place / "none", place / "copy")


def test_a_bucket_that_is_missing_and_a_server_that_is_down(object_store, monkeypatch):
    missing = locate("s3://no-such-bucket/a")
    with pytest.raises(
        InputError, match="cannot write s3://no-such-bucket/a: no such object or bucket"
    ):
        write_text(missing, "")
    with pytest.raises(FileNotFoundError):
        missing.read_bytes()

    def fail(*_):
        raise obstore.exceptions.GenericError("timed out\n\nDebug source: ...")

    monkeypatch.setattr(obstore, "get", fail)
    with pytest.raises(
        RunError, match="cannot reach s3://no-such-bucket/a: timed out; start again"
    ) as error:
        missing.read_bytes()
    assert "\n" not in str(error.value)
    with pytest.raises(RunError), explaining_bucket(missing):
        fail()


def test_photos_and_data_sets(place):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (12, 20, 3), np.uint8)
    for name in ("a", "b"):
        write_image(f"{place}/set/images/{name}.png", photo)
        write_image(place / f"set/labels/{name}.png", (photo > 127) * np.uint8(255))
    np.testing.assert_array_equal(read_image(f"{place}/set/images/a.png"), photo)
    source = open_source(f"{place}/set")
    assert len(source) == 2
    assert source.name == f"{place}/set/images"
    np.testing.assert_array_equal(source[1].image, photo)
    with pytest.raises(InputError, match=r"no such file or folder: .*sett; did you mean .*/set\?"):
        open_source(f"{place}/sett")
    counts = {"size": [12, 20], "counts": [100, 40, 100]}
    write_image(place / "sa1b/p.png", photo)
    write_json(place / "sa1b/p.json", {"annotations": [{"segmentation": counts}]})
    assert open_source(f"{place}/sa1b")[0].masks.runs(0) is not None
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "height": 12, "width": 20}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": counts, "iscrowd": 0}
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    write_json(place / "set/coco.json", coco)
    assert len(open_source(f"{place}/set/coco.json")) == 1


def test_weights(place):
    variables = init_variables(MINIATURE, 0)
    save_checkpoint(f"{place}/w.safetensors", MINIATURE, variables)
    config, loaded = load_checkpoint(f"{place}/w.safetensors")
    assert config == MINIATURE
    for name in ("image_encoder", "mask_decoder"):
        for one, other in zip(
            *(json_leaves(tree["params"][name]) for tree in (loaded, variables)), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def json_leaves(tree):
    return (
        [leaf for branch in tree.values() for leaf in json_leaves(branch)]
        if isinstance(tree, dict)
        else [tree]
    )


@pytest.mark.slow
def test_masks_of_photos_in_a_bucket(place, tmp_path, capsys):
    """From a bucket to a bucket, the same as from a disk to a disk; what is done is left alone."""
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        photo = rng.integers(0, 255, (40, 60, 3), np.uint8)
        Image.fromarray(photo).save(tmp_path / f"photos/{number}.png")
        write_image(place / f"photos/{number}.png", photo)
    save_checkpoint(tmp_path / "w.safetensors", MINIATURE, init_variables(MINIATURE, 0))
    copy_file(tmp_path / "w.safetensors", place / "w.safetensors")
    options = ["--points-per-side", "2", "--pred-iou-thresh", "0", "--stability-score-thresh", "0"]
    for top in (str(tmp_path), str(place)):
        command = ["generate", f"{top}/photos", "--checkpoint", f"{top}/w.safetensors", *options]
        assert main([*command, "--png", "--overlay", "--coco", "--output", f"{top}/out"]) == 0
    local = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and path.name != "settings.json"
    }
    there = {
        name: (place / "out" / name).read_bytes()
        for name in (place / "out").list_below()
        if name != "settings.json"
    }
    assert there == local
    assert len(local) > 8
    assert main([*command, "--png", "--overlay", "--output", f"{place}/out"]) == 0
    assert "2 photos done before" in capsys.readouterr().out
    assert json.loads((place / "out/settings.json").read_text())["photos"] == f"{place}/photos"
