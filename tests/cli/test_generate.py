"""`sam-jax generate`: what it writes, that others can read it, and that a stopped run goes on."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import skimage.data
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from sam_jax import SamAutomaticMaskGenerator
from sam_jax.checkpoints import save_clip
from sam_jax.cli.main import main
from sam_jax.data.images import read_image, read_mask
from sam_jax.data.sources import open_source
from sam_jax.ops.boxes import mask_to_box_xywh
from sam_jax.storage import whole
from tests.clip_models import make_colour_clip
from tests.training.conftest import QUICK_AND_ALONE

pytestmark = [
    pytest.mark.usefixtures("devices"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

LENIENT = (
    *("--points-per-side", "4", "--pred-iou-thresh", "0", "--stability-score-thresh", "0"),
    *("--box-nms-thresh", "0.9"),
)


@pytest.fixture
def photos(tmp_path):
    """Three photos of two sizes, one of them in a folder of its own, and what is none."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    coffee = Image.fromarray(skimage.data.coffee()).resize((75, 50))
    coffee.save(folder / "coffee.jpg")
    coffee.crop((5, 0, 65, 40)).save(folder / "more" / "coffee.png")
    coffee.rotate(90, expand=True).save(folder / "tall.jpg")
    (folder / "notes.txt").write_text("no photo")
    return folder


@pytest.fixture
def generate(weights, tmp_path):
    """Runs `sam-jax generate`, which must succeed, and returns the folder that it wrote."""

    def run(photos, *options, output="out", code=0):
        command = ["generate", photos, "--output", tmp_path / output, "--checkpoint", weights]
        assert main([str(part) for part in (*command, *LENIENT, *options)]) == code
        return tmp_path / output

    return run


def test_a_folder_in_all_forms(generate, photos, devices, capsys, tmp_path):
    devices(2)
    trace = tmp_path / "trace"
    output = generate(photos, "--overlay", "--png", "--coco", "--profile", trace)
    assert "of 3 photos" in capsys.readouterr().out
    assert len(list(trace.rglob("*.xplane.pb"))) == 1
    names = ["coffee.jpg", "more/coffee.png", "tall.jpg"]
    source = open_source(str(output / "sa1b"))
    assert len(source) == 3
    total, numbers = 0, set()
    for index, name in enumerate(names):
        photo = read_image(photos / name)
        stem = name.rsplit(".", 1)[0]
        document = json.loads((output / "sa1b" / f"{stem}.json").read_text())
        numbers.add(document["image"].pop("image_id"))
        assert document["image"] == {
            "file_name": os.path.basename(name),
            "height": photo.shape[0],
            "width": photo.shape[1],
        }
        annotations = document["annotations"]
        total += len(annotations)
        example = source[index]
        np.testing.assert_array_equal(example.image, photo)
        assert len(example.masks) == len(annotations) > 0
        with (output / "pngs" / stem / "metadata.csv").open() as file:
            table = list(csv.DictReader(file))
        assert len(table) == len(annotations)
        for k, annotation in enumerate(annotations):
            mask = coco_mask.decode(annotation["segmentation"]).astype(bool)
            np.testing.assert_array_equal(example.masks[k], mask)
            np.testing.assert_array_equal(read_mask(output / "pngs" / stem / f"{k}.png"), mask)
            assert annotation["area"] == mask.sum() == int(table[k]["area"])
            assert annotation["bbox"] == mask_to_box_xywh(mask).tolist()
            assert set(annotation) == {
                *("id", "segmentation", "area", "bbox", "predicted_iou", "point_coords"),
                *("stability_score", "crop_box"),
            }
        overlay = read_image(output / "overlays" / f"{stem}.jpg")
        assert overlay.shape == photo.shape
        assert np.abs(overlay.astype(int) - photo).mean() > 5
    coco = COCO(str(output / "coco.json"))
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == names
    assert len(coco.getAnnIds()) == total
    assert len(numbers) == 3
    for annotation in coco.loadAnns(coco.getAnnIds()):
        assert annotation["bbox"] == coco_mask.toBbox(coco.annToRLE(annotation)).tolist()
        assert coco.annToMask(annotation).sum() == annotation["area"]


def test_one_photo(generate, photos):
    output = generate(photos / "tall.jpg")
    assert sorted(os.listdir(output)) == ["sa1b", "settings.json"]
    assert sorted(os.listdir(output / "sa1b")) == ["tall.jpg", "tall.json"]


def test_nothing_found_is_a_record_too(generate, photos):
    output = generate(
        photos / "tall.jpg", "--pred-iou-thresh", "99", "--overlay", "--png", "--coco"
    )
    assert json.loads((output / "sa1b" / "tall.json").read_text())["annotations"] == []
    assert json.loads((output / "coco.json").read_text())["annotations"] == []
    photo, overlay = read_image(photos / "tall.jpg"), read_image(output / "overlays" / "tall.jpg")
    assert np.abs(overlay.astype(int) - photo).mean() < 3


def test_a_second_start_does_what_is_missing(generate, photos, capsys, monkeypatch):
    output = generate(photos)
    texts = {path: path.read_text() for path in (output / "sa1b").rglob("*.json")}
    times = {path: path.stat().st_mtime_ns for path in texts}
    (output / "sa1b" / "tall.json").unlink()
    left = [output / "sa1b" / ".tall.jpg.0123456789ab.unfinished"]
    left += [output / ".coco.json.0123456789ab.unfinished"]
    for path in left:
        path.write_text("left by a kill")
    monkeypatch.setattr(whole, "_LOCKED_AFTER_SECONDS", -1)
    generate(photos)
    assert not any(path.exists() for path in left)
    assert "of 1 photo " in capsys.readouterr().out.splitlines()[-1]
    for path, text in texts.items():
        assert path.read_text() == text
        assert (path.stat().st_mtime_ns == times[path]) == (path.name != "tall.json")


def test_the_users_photos_stay_out_of_the_results(generate, photos):
    before = (photos / "tall.jpg").read_bytes()
    output = generate(photos / "tall.jpg")
    copy = output / "sa1b" / "tall.jpg"
    assert copy.stat().st_nlink == 1
    copy.write_bytes(b"drawn over")
    assert (photos / "tall.jpg").read_bytes() == before


def test_a_replaced_photo_gets_masks_of_its_own(generate, photos):
    output = generate(photos / "tall.jpg", "--overlay", "--png")
    tall = read_image(photos / "tall.jpg")
    Image.fromarray(np.ascontiguousarray(tall[:-10, ::-1])).save(photos / "tall.jpg", quality=95)
    generate(photos / "tall.jpg")
    assert sorted(os.listdir(output)) == ["overlays", "pngs", "sa1b", "settings.json"]
    assert not (output / "overlays" / "tall.jpg").exists()  # made from the old photo
    assert not (output / "pngs" / "tall").exists()
    document = json.loads((output / "sa1b" / "tall.json").read_text())
    assert document["image"]["height"] == tall.shape[0] - 10
    assert (output / "sa1b" / "tall.jpg").read_bytes() == (photos / "tall.jpg").read_bytes()
    other = output / "sa1b" / "tall.more.jpg"  # a copy of another photo
    other.write_bytes(b"photo")
    fresh = generate(photos / "tall.jpg", "--overlay", "--png", output="fresh")
    generate(photos / "tall.jpg", "--overlay", "--png")
    for path in sorted(path for path in fresh.rglob("*") if path.is_file()):
        assert (output / path.relative_to(fresh)).read_bytes() == path.read_bytes()
    (photos / "tall.jpg").write_bytes(b"nothing")
    generate(photos / "tall.jpg", code=2)
    assert os.listdir(output / "sa1b") == ["tall.more.jpg"]


def test_what_is_wanted_beside_is_made_of_masks_that_are_there(generate, photos, monkeypatch):
    first = generate(photos, "--overlay", "--png")
    output = generate(photos, output="again")
    monkeypatch.setattr(SamAutomaticMaskGenerator, "generate_many", lambda self, photos: iter(()))
    generate(photos, "--overlay", "--png", output="again")
    for path in sorted(first.rglob("*.jpg")) + sorted(first.rglob("*.png")):
        assert (output / path.relative_to(first)).read_bytes() == path.read_bytes()


def test_a_photo_of_the_same_name_is_another_one(generate, photos, complaint, tmp_path, weights):
    output = generate(photos / "tall.jpg")
    Image.open(photos / "coffee.jpg").save(photos / "tall.png")
    generate(photos / "tall.png")
    assert "tall.png" in (output / "sa1b" / "tall.json").read_text()
    other = photos / "more" / "coffee.png"
    end = ("--output", output, "--checkpoint", weights, *LENIENT)
    assert "other settings (photos" in complaint("generate", other, *end)


def test_results_inside_the_folder_of_photos_are_no_photos(generate, photos):
    for _ in range(2):
        output = generate(photos, "--overlay", output="photos/masks")
    assert len(list((output / "sa1b").rglob("*.json"))) == 3


@pytest.mark.parametrize("images_per_batch", ["1", "3"])
def test_broken_photos_are_told_at_the_end(generate, photos, capsys, images_per_batch):
    (photos / "broken.jpg").write_bytes((photos / "coffee.jpg").read_bytes()[:700])
    Image.new("RGB", (4000, 1)).save(photos / "line.png")
    output = generate(photos, "--images-per-batch", images_per_batch, code=1)
    assert len(list((output / "sa1b").rglob("*.json"))) == 3
    told = capsys.readouterr().err
    assert "no masks of 2 photos" in told
    assert "broken.jpg is a truncated or damaged image" in told
    assert "line.png: the image is too thin" in told


def test_bad_input(complaint, generate, photos, weights, tmp_path):
    output, end = tmp_path / "out", ("--checkpoint", weights)
    assert "no such file or folder" in complaint("generate", photos / "x", "--output", output)
    assert "is no photo" in complaint("generate", photos / "notes.txt", "--output", output)
    for option in ("--pred-iou-thresh", "--max-area-share", "--crop-overlap-ratio"):
        wrong = ("generate", photos, "--output", output, *end, option, "inf")
        assert "number" in complaint(*wrong)
        assert not output.exists()
    (tmp_path / "empty").mkdir()
    assert "no photos" in complaint("generate", tmp_path / "empty", "--output", output)
    assert "is a file" in complaint("generate", photos, "--output", photos / "notes.txt")
    line = complaint("generate", photos, "--output", output, "--sa1b", "--points-per-side", "8")
    assert "--sa1b sets --points-per-side itself" in line
    assert "cannot write /proc/none" in complaint(
        "generate", photos, "--output", "/proc/none", *end
    )
    generate(photos / "tall.jpg", output="other")
    message = complaint("generate", photos, "--output", tmp_path / "other", *end)
    assert "other settings (arguments" in message
    (photos / "tall.png").write_bytes((photos / "tall.jpg").read_bytes())
    assert "tall.jpg and tall.png would share" in complaint(
        "generate", photos, "--output", output, *end
    )


@pytest.mark.slow
def test_killed_in_the_middle(photos, weights, tmp_path):
    for k in range(20):
        Image.fromarray(np.roll(skimage.data.coffee()[:60, :80], k, axis=1)).save(
            photos / f"roll_{k:02}.png"
        )
    output = tmp_path / "out"
    command = [sys.executable, "-m", "sam_jax", "generate", photos, "--output", output]
    command += ["--checkpoint", weights, *LENIENT, "--coco"]
    environment = os.environ | QUICK_AND_ALONE
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while len(list(output.glob("sa1b/**/*.json"))) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in output.glob("sa1b/**/*.json")}
    assert 5 <= len(kept) < 23
    for path in kept:
        json.loads(path.read_text())
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert len(list(output.glob("sa1b/**/*.json"))) == 23
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    assert list(output.rglob(".*")) == []  # nor does anything unfinished stay
    coco = json.loads((output / "coco.json").read_text())
    assert len({image["id"] for image in coco["images"]}) == 23
    assert len({image["file_name"] for image in coco["images"]}) == 23


@pytest.fixture(scope="session")
def colour_clip(tmp_path_factory):
    """A folder of a CLIP that knows three colours."""
    folder = tmp_path_factory.mktemp("clip")
    save_clip(folder, make_colour_clip())
    return folder


def test_masks_that_fit_phrases(generate, photos, colour_clip, capsys):
    options = ("--text", "red", "--text", "blue", "--clip", colour_clip, "--text-threshold", "-1")
    output = generate(photos / "tall.jpg", *options, "--overlay", "--png", "--coco")
    annotations = json.loads((output / "sa1b" / "tall.json").read_text())["annotations"]
    assert annotations
    assert {annotation["phrase"] for annotation in annotations} <= {"red", "blue"}
    with (output / "pngs" / "tall" / "metadata.csv").open() as file:
        table = list(csv.DictReader(file))
    for row, annotation in zip(table, annotations, strict=True):
        assert row["phrase"] == annotation["phrase"]
        assert float(row["similarity"]) == annotation["similarity"]
    coco = COCO(str(output / "coco.json"))
    classes = {category["id"]: category["name"] for category in coco.dataset["categories"]}
    assert [classes[a["category_id"]] for a in coco.dataset["annotations"]] == [
        annotation["phrase"] for annotation in annotations
    ]
    settings = json.loads((output / "settings.json").read_text())
    assert settings["text"] == ["red", "blue"]
    assert settings["text_threshold"] == -1
    generate(photos / "tall.jpg", *options[2:], code=2)
    assert "other settings (text;" in capsys.readouterr().err


def test_nothing_fits_a_phrase(generate, photos, colour_clip, capsys):
    options = ("--text", "green", "--clip", colour_clip, "--text-threshold", "0.9999")
    output = generate(photos / "tall.jpg", *options)
    assert json.loads((output / "sa1b" / "tall.json").read_text())["annotations"] == []
    told = capsys.readouterr().out.splitlines()[-1]
    assert "none fits a phrase by --text-threshold 0.9999 (the highest: " in told


def test_options_of_phrases(generate, photos, weights, colour_clip, monkeypatch, tmp_path, capsys):
    generate(photos, "--clip", colour_clip, code=2)
    assert "--clip belongs to --text" in capsys.readouterr().err
    monkeypatch.setattr("sam_jax.inference.loading.downloads_folder", lambda: tmp_path)
    generate(photos, "--text", "a wheel", code=2)
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith(
        "error: 'a wheel': 'wheel' is none of the few words of this small CLIP"
    )
    assert "`sam-jax download clip_vit_l_14_336` brings one" in told[-1]
    assert any("small CLIP that comes with sam-jax, which knows drawings" in line for line in told)
    generate(photos, "--text", "a wheel", "--clip", weights, code=2)
    assert "holds a Segment Anything, not a CLIP" in capsys.readouterr().err
