import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import sam_jax
from sam_jax.data import array_record_builder
from sam_jax.data.array_record import ArrayRecordSource
from sam_jax.data.array_record_builder import build_array_record, segment_anything_features
from sam_jax.data.example import RecordError
from sam_jax.data.images import read_image
from sam_jax.data.sa1b import Sa1bFolder
from sam_jax.ops.rle import encode_rle
from sam_jax.types import InputError, RunError

from .conftest import HEIGHT, WIDTH, change_json, paint_masks, paint_photo, write_sa1b_record


@pytest.fixture(scope="module")
def built(sa1b_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("built")
    return output, build_array_record(sa1b_folder, output)


def copy_folder(folder, destination):
    destination.mkdir()
    for path in folder.iterdir():
        (destination / path.name).write_bytes(path.read_bytes())
    return destination


def by_file(source):
    examples = [source[i] for i in range(len(source))]
    return {
        example.name.rpartition("/")[2].rpartition(": ")[2][:8]: example for example in examples
    }


def test_holds_what_the_folder_holds(sa1b_folder, built):
    output, report = built
    assert report == (output / "segment_anything" / "1.0.0", 6, [], [])
    assert [path.name for path in output.iterdir()] == ["segment_anything"]
    ours, theirs = by_file(ArrayRecordSource(output)), by_file(Sa1bFolder(sa1b_folder))
    assert ours.keys() == theirs.keys()
    assert len(ours) == 6
    for name in ours:
        np.testing.assert_array_equal(ours[name].image, theirs[name].image)
        assert len(ours[name].masks) == len(theirs[name].masks)
        for i in range(len(ours[name].masks)):
            np.testing.assert_array_equal(ours[name].masks[i], theirs[name].masks[i])


def test_photos_of_every_kind_have_the_pixels_that_they_have_in_the_folder(tmp_path):
    """Through ArrayRecord, a photo goes through the same decoder as from a folder, and so does its mask's size."""
    colours = paint_photo(7)
    with_alpha = np.dstack([colours, colours[::-1, :, 0]])
    deep = np.random.default_rng(7).integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn: what is stored is the upright photo's transpose
    pictures = {
        "alpha.png": (Image.fromarray(with_alpha), {}),
        "grey_alpha.png": (Image.fromarray(with_alpha[:, :, 2:]), {}),
        "sixteen_bits.png": (Image.fromarray(deep), {}),
        "turned.jpg": (Image.fromarray(colours.transpose(1, 0, 2)), {"exif": turned}),
        "palette.png": (Image.fromarray(colours).quantize(9), {"transparency": 4}),
        "grey.png": (Image.fromarray(colours[:, :, 0]), {}),
        "damaged_exif.png": (Image.fromarray(colours), {"exif": b"Exif\0\0MX\0*nothing"}),
    }
    folder = tmp_path / "in"
    for name, (picture, options) in pictures.items():
        write_sa1b_record(folder, Path(name).stem, 7, paint_masks(7, 2)).unlink()
        picture.save(folder / name, **options)
        assert read_image(folder / name).shape == (HEIGHT, WIDTH, 3)
    report = build_array_record(folder, tmp_path / "out")
    assert report.skipped == []
    theirs = Sa1bFolder(folder)
    expected = {Path(theirs[i].name).stem: theirs[i] for i in range(len(theirs))}
    source = ArrayRecordSource(tmp_path / "out")
    found = {re.search(r": (\w+)\.jpg", source[i].name)[1]: source[i] for i in range(len(source))}
    assert found.keys() == expected.keys() == {Path(name).stem for name in pictures}
    for name, example in found.items():
        np.testing.assert_array_equal(example.image, expected[name].image, err_msg=name)
        for i, mask in enumerate(paint_masks(7, 2)):
            np.testing.assert_array_equal(example.masks[i], mask)
            np.testing.assert_array_equal(expected[name].masks[i], mask)


def test_other_programs_see_the_same_pixels(tmp_path):
    """Photos that other decoders show white, with hidden colours or on their side go in as plain PNG files."""
    colours = paint_photo(7)
    deep = np.random.default_rng(7).integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
    turned = Image.Exif()
    turned[0x0112] = 3
    pictures = {
        "deep.png": (Image.fromarray(deep), {}),
        "alpha.png": (Image.fromarray(np.dstack([colours, colours[:, :, 0]])), {}),
        "see_through.png": (Image.fromarray(colours).quantize(9), {"transparency": 4}),
        "turned.jpg": (Image.fromarray(colours), {"exif": turned}),
        "ink.jpg": (Image.fromarray(colours).convert("CMYK"), {}),
        "scan.tif": (Image.fromarray(colours), {}),
        "plain.jpg": (Image.fromarray(colours), {}),
    }
    folder = tmp_path / "in"
    for name, (picture, options) in pictures.items():
        write_sa1b_record(folder, Path(name).stem, 7, paint_masks(7, 1)).unlink()
        picture.save(folder / name, **options)
    report = build_array_record(folder, tmp_path / "out")
    (note,) = report.notes
    assert "turned.jpg" in note
    builder = tfds.builder_from_directory(str(report.folder))
    skip = {"image": {"content": tfds.decode.SkipDecoding()}}
    raw = builder.as_data_source("train", decoders=skip)
    seen = builder.as_data_source("train")
    assert len(seen) == len(pictures)
    for one, stored in zip(seen, raw, strict=True):
        stem = Path(one["image"]["file_name"].decode()).stem
        (name,) = (name for name in pictures if Path(name).stem == stem)
        np.testing.assert_array_equal(one["image"]["content"], read_image(folder / name), name)
        is_as_it_was = stored["image"]["content"] == (folder / name).read_bytes()
        assert is_as_it_was == (name == "plain.jpg")


def test_built_twice_it_has_the_same_bytes(sa1b_folder, built, tmp_path):
    again = build_array_record(sa1b_folder, tmp_path)
    files = {path.name: path.read_bytes() for path in built[1].folder.iterdir()}
    assert {path.name: path.read_bytes() for path in again.folder.iterdir()} == files


@pytest.mark.parametrize(
    "change",
    [
        lambda image, first: image.update(file_name="\ud800.jpg"),
        lambda image, first: image.update(image_id=-1),
        lambda image, first: image.update(image_id="none"),
        lambda image, first: first.update(area=float("inf")),
        lambda image, first: first.update(bbox=[0, 0, float("nan"), 3]),
        lambda image, first: first.update(bbox=None),
        lambda image, first: first.update(point_coords=[[1, 2, 3]]),
        lambda image, first: first.update(predicted_iou={"a": 1}),
        lambda image, first: first.update(segmentation="none"),
        lambda image, first: first["segmentation"].update(counts=[float("nan"), 3]),
        lambda image, first: first["segmentation"].update(counts=[2**62, 2**62, 2**62, 2**62]),
        lambda image, first: first["segmentation"].update(size=["x" * 9, 10**9]),
    ],
)
def test_no_record_stops_the_others(tmp_path, change):
    write_sa1b_record(tmp_path / "in", "whole", 1, paint_masks(1, 2))
    bad = write_sa1b_record(tmp_path / "in", "zz_bad", 2, paint_masks(2, 2))
    change_json(bad, lambda document: change(document["image"], document["annotations"][0]))
    report = build_array_record(tmp_path / "in", tmp_path / "out")
    assert report.written == 1
    (reason,) = report.skipped
    assert "zz_bad" in reason or "a mask" in reason


def test_tfds_reads_it_with_its_own_schema(sa1b_folder, built):
    builder = tfds.builder_from_directory(str(built[1].folder))
    record = builder.as_data_source("train")[0]
    number = int(record["image"]["image_id"])
    photo = next(sa1b_folder.rglob(f"sa_{number}.jpg"))
    np.testing.assert_array_equal(record["image"]["content"], read_image(photo))
    assert (record["image"]["height"], record["image"]["width"]) == (30, 44)
    masks = paint_masks(number, 2 + number)
    annotations = record["annotations"]
    assert [int(area) for area in annotations["area"]] == [mask.sum() for mask in masks]
    assert [int(number) for number in annotations["id"]] == [100 + k for k in range(len(masks))]
    np.testing.assert_allclose(annotations["bbox"][0], [2 / 30, 1 / 44, 6 / 30, 4 / 44], rtol=1e-6)
    np.testing.assert_allclose(annotations["crop_box"][0], [0, 0, 1, 1])
    np.testing.assert_allclose(annotations["point_coords"][0], [[1.5, 2.5]])
    assert (
        annotations["segmentation"]["counts"][1].decode()
        == (encode_rle(masks[1], compress=True)["counts"])
    )


def test_the_schema_is_that_of_tfds(tmp_path):
    official = tfds.builder("segment_anything", data_dir=tmp_path, file_format="array_record")
    theirs = re.sub(", description=[^)]*", "", str(official.info.features))
    assert str(segment_anything_features()) == theirs


def test_needs_no_tensorflow(sa1b_folder, tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from sam_jax.data.array_record import ArrayRecordSource\n"
        "from sam_jax.data.array_record_builder import build_array_record\n"
        f"output = Path({str(tmp_path)!r})\n"
        f"build_array_record(Path({str(sa1b_folder)!r}), output)\n"
        "print(ArrayRecordSource(output)[5].image.shape, 'tensorflow' in sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(sam_jax.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "(30, 44, 3) False\n"


def test_bad_records_are_left_out_and_named(spoiled_folder, tmp_path):
    folder, messages = spoiled_folder
    told = []
    report = build_array_record(folder, tmp_path, lambda done, total: told.append((done, total)))
    kept = {"masks_empty", "masks_none"}
    assert report.written == 3 + len(kept)
    assert len(report.skipped) == len(messages) - len(kept)
    for record, message in messages.items():
        if record not in kept:
            assert sum(record in line and message in line for line in report.skipped) == 1
    assert told == [(i + 1, 12) for i in range(12)]
    assert len(ArrayRecordSource(tmp_path)) == report.written


def test_what_the_json_lacks_is_filled_in(tmp_path):
    mask = paint_masks(0, 1)[0]
    photo = write_sa1b_record(tmp_path / "in", "sa_0", 0, [mask])

    def reduce(document):
        document["annotations"] = [{"segmentation": encode_rle(mask)}]
        del document["image"]

    change_json(photo, reduce)
    report = build_array_record(tmp_path / "in", tmp_path / "out")
    assert report.skipped == []
    record = tfds.builder_from_directory(str(report.folder)).as_data_source("train")[0]
    assert record["annotations"]["area"] == [mask.sum()]
    assert np.isnan(record["annotations"]["predicted_iou"][0])
    np.testing.assert_array_equal(ArrayRecordSource(tmp_path / "out")[0].masks[0], mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    np.testing.assert_allclose(
        record["annotations"]["bbox"][0] * [30, 44, 30, 44],
        [rows[0], columns[0], rows[-1], columns[-1]],
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1, 2, 3]}, "not enough values"),
        ({"bbox": [1, 2, -3, 4]}, "not a box"),
        ({"area": -1}, "sa_1.json"),
        ({"id": "one"}, "sa_1.json"),
        ({"point_coords": [[1]]}, "sa_1.json"),
    ],
)
def test_nonsense_beside_a_mask_is_a_bad_record(tmp_path, change, message):
    write_sa1b_record(tmp_path / "in", "sa_0", 0, paint_masks(0, 1))
    photo = write_sa1b_record(tmp_path / "in", "sa_1", 1, paint_masks(0, 1))
    change_json(photo, lambda document: document["annotations"][0].update(change))
    report = build_array_record(tmp_path / "in", tmp_path / "out")
    assert report.written == 1
    assert message in report.skipped[0]


def test_all_or_nothing(spoiled_folder, sa1b_folder, tmp_path, monkeypatch):
    folder, _ = spoiled_folder
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "no_json.jpg").write_bytes((folder / "no_json.jpg").read_bytes())
    output = tmp_path / "out"
    with pytest.raises(InputError, match="none of the 1 photos"):
        build_array_record(bad, output)
    assert not output.exists()

    encode = array_record_builder._encode_record

    def fail_later(path, index, hints):
        if index == 4:
            raise OSError(28, "No space left on device")
        return encode(path, index, hints)

    monkeypatch.setattr(array_record_builder, "_encode_record", fail_later)
    with pytest.raises(RunError, match=r"cannot write .*: No space left on device"):
        build_array_record(sa1b_folder, output)
    assert not output.exists()
    monkeypatch.undo()

    build_array_record(sa1b_folder, output)
    with pytest.raises(InputError, match="is already there"):
        build_array_record(sa1b_folder, output)


def test_no_space_left(sa1b_folder, tmp_path):
    """A limit on the size of files stands in for a full disk: writing fails in ArrayRecord's own code."""
    code = (
        "import resource, sys\n"
        "from sam_jax.cli.main import main\n"
        "sys.dont_write_bytecode = True\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"sys.exit(main(['dataset', 'build', {str(sa1b_folder)!r}, '--output', {str(tmp_path)!r}]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(sam_jax.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith(f"error: cannot write {tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_travels_to_worker_processes(built):
    source = pickle.loads(pickle.dumps(ArrayRecordSource(built[0])))
    assert len(source) == 6
    assert source[3].image.shape == (30, 44, 3)
    with pytest.raises(IndexError):
        source[6]


def test_folders_that_are_none(built, tmp_path):
    with pytest.raises(InputError, match=r"no TFDS data set in .*: it has no features\.json"):
        ArrayRecordSource(tmp_path)
    (tmp_path / "features.json").write_text("{}")
    with pytest.raises(InputError, match="is not a TFDS data set in ArrayRecord"):
        ArrayRecordSource(tmp_path)
    unfinished = tmp_path / "one" / ".1.0.0.0123456789ab.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "features.json").touch()
    with pytest.raises(InputError, match=r"no TFDS data set in .*one"):
        ArrayRecordSource(tmp_path / "one")
    two = tmp_path / "two"
    for version in ("1.0.0", "2.0.0"):
        (two / version).mkdir(parents=True)
        (two / version / "features.json").touch()
    with pytest.raises(InputError, match=r"several TFDS data sets .*1\.0\.0, .*2\.0\.0"):
        ArrayRecordSource(two)


def test_a_data_set_of_another_schema(built, tmp_path):
    folder = copy_folder(built[1].folder, tmp_path / "copy")
    tfds.features.FeaturesDict({"number": np.int64}).save_config(folder)
    with pytest.raises(InputError, match="has the features number in 1 splits"):
        ArrayRecordSource(folder)


def test_damage_within_the_records(built, tmp_path):
    folder = copy_folder(built[1].folder, tmp_path / "copy")
    (records,) = folder.glob("*array_record*")
    content = bytearray(records.read_bytes())
    start = content.find(b"\xff\xd8\xff")
    content[start + 40 : start + 200] = np.random.default_rng(0).bytes(160)
    records.write_bytes(content)
    source = ArrayRecordSource(folder)
    bad = []
    for i in range(len(source)):
        try:
            source[i]
        except RecordError as error:
            bad.append(str(error))
    assert bad
    assert all(str(folder) in message for message in bad)
