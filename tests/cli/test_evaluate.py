"""`sam-jax evaluate` with a miniature model on tiny photos; tests/evaluation checks the numbers."""

import json

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sam_jax.cli.main import main
from sam_jax.data.images import read_image
from sam_jax.data.sources import open_source
from sam_jax.evaluation.edges.detection import sobel_edges
from sam_jax.evaluation.points.classical import Disc
from sam_jax.evaluation.points.sessions import Picker, PointsConfig, click_objects
from sam_jax.evaluation.points.summary import mean_curve
from sam_jax.ops.boxes import mask_to_box_xywh
from sam_jax.ops.rle import encode_rle

pytestmark = pytest.mark.usefixtures("devices")

HEIGHT, WIDTH = 40, 60
PHOTO = np.asarray(Image.fromarray(skimage.data.coffee()).resize((WIDTH, HEIGHT)))


def paint_labels(shift: int) -> np.ndarray:
    """A disc and a bar."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    labels = (np.hypot(rows - 20, columns - 15 - shift) < 11).astype(np.uint8)
    labels[5:12, 40:58] = 2
    return labels


@pytest.fixture
def photos(tmp_path):
    """Four photos with maps of two objects each."""
    folder = tmp_path / "discs"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(4):
        Image.fromarray(np.roll(PHOTO, number, axis=1)).save(folder / f"images/{number}.png")
        Image.fromarray(paint_labels(number)).save(folder / f"labels/{number}.png")
    return folder


@pytest.fixture
def coco(photos):
    """The same as a json file in COCO's form."""
    images, annotations = [], []
    for number in range(4):
        images.append(
            {"id": 7 + number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH}
        )
        for label in (1, 2):
            mask = paint_labels(number) == label
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": 7 + number,
                    "category_id": label,
                    "segmentation": encode_rle(mask),
                    "area": int(mask.sum()),
                    "bbox": mask_to_box_xywh(mask).tolist(),
                    "iscrowd": 0,
                }
            )
    path = photos / "discs.json"
    categories = [{"id": 1, "name": "disc"}, {"id": 2, "name": "bar"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def evaluate(weights, tmp_path):
    """Runs `sam-jax evaluate` and returns the tables that it wrote, by their title's first word."""

    def run(*arguments, output="out", code=0):
        more = ("--output", tmp_path / output, "--checkpoint", weights)
        assert main(["evaluate", *map(str, (*arguments, *more))]) == code
        page = (tmp_path / output / "report.html").read_text()
        assert page.startswith("<!doctype html>")
        assert "http" not in page.replace("http://www.w3.org", ""), "needs nothing from elsewhere"
        document = json.loads((tmp_path / output / "results.json").read_text())
        assert (tmp_path / output / "results.csv").read_text().startswith("table,row,column,value")
        return {table["title"].split()[0]: table["rows"] for table in document["tables"]}

    return run


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("**/records/*.json")}


def test_points(evaluate, photos, tmp_path):
    trace = tmp_path / "trace"
    options = ("--methods", "disc,sam", "--clicks", "2", "--no-noc", "--profile", trace)
    tables = evaluate("points", f"discs={photos}", *options)
    assert len(list(trace.rglob("*.xplane.pb"))) == 2  # one of each method
    config = PointsConfig(clicks=2, noc_thresholds=())
    source = open_source(photos)
    records = [click_objects(Disc(), source[index], index, config) for index in range(4)]
    disc, sam = tables["mIoU"]  # of the oracle: the second table of that name
    expected = mean_curve(records, Picker.ORACLE, 2)
    assert [disc["1 click"], disc["2 clicks"]] == pytest.approx(expected, abs=1e-12)
    assert (disc["images"], disc["masks"]) == (4, 8)
    assert 0 <= sam["1 click"] <= 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        page.count("data:image/jpeg;base64,") == 2 * 8
    )  # answer and truth, 3 best, 2 median, 3 worst
    assert "<svg" in page
    assert "<?xml" not in page


def test_points_go_on_where_they_stopped_and_devices_make_no_difference(
    evaluate, photos, tmp_path, devices
):
    command = ("points", f"discs={photos}", "--clicks", "1", "--no-noc")
    devices(2)
    first = evaluate(*command)
    before = written(tmp_path / "out")
    lost = sorted(before)[2]
    lost.unlink()
    devices(1)
    assert evaluate(*command)["mIoU"] == first["mIoU"]
    after = written(tmp_path / "out")
    assert after.keys() == before.keys()
    assert [path for path in before if after[path] != before[path]] == [lost]


def test_edges(evaluate, photos, tmp_path):
    truth = photos / "ground_truth"
    truth.mkdir()
    for number in range(4):
        drawn = sobel_edges(read_image(photos / f"images/{number}.png")) > 0.1
        np.savez(truth / f"{number}.npz", boundaries=np.stack([drawn, drawn]))
    methods = ("--methods", "sam,sobel")
    tables = evaluate("edges", photos / "images", *methods, "--points-per-side", "2")
    sam, sobel = tables["Edges,"]
    assert sobel["method"] == "sobel"
    assert sobel["images"] == sam["images"] == 4
    assert sobel["ODS"] > 0.9
    assert 0 <= sam["ODS"] < sobel["ODS"]
    assert "] sobel" in (tmp_path / "out" / "precision_recall.svg").read_text()


def test_proposals(evaluate, photos, coco):
    methods = ("--methods", "sam,sam-single,felzenszwalb")
    tables = evaluate("proposals", f"discs={coco}", *methods, "--points-per-side", "3")
    names = [row["method"] for row in tables["Object"]]
    assert names == ["sam, discs", "sam-single, discs", "felzenszwalb, discs"]
    for row in tables["Object"]:
        assert (row["images"], row["masks"]) == (4, 8)
        assert 0 <= row["AR@10"] <= row["AR@1000"] <= 1
        assert row["frequent"] is row["large"] is None
    assert evaluate("proposals", f"discs={photos}", "--points-per-side", "3", output="maps")[
        "Object"
    ][0]["AR@1000"] == pytest.approx(tables["Object"][0]["AR@1000"])


def test_instances(evaluate, coco, tmp_path):
    (row,) = evaluate("instances", coco)["COCO"]
    assert 0 <= row["AP"] <= 1
    assert row["large"] is None
    results = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len(results) == 8
    assert results[0]["segmentation"]["size"] == [HEIGHT, WIDTH]


def test_photos_named_by_their_address_as_in_lvis(evaluate, coco, tmp_path):
    document = json.loads(coco.read_text())
    for image in document["images"]:
        image["coco_url"] = "http://images.cocodataset.org/" + image.pop("file_name")
        image["neg_category_ids"] = image["not_exhaustive_category_ids"] = []
    for category in document["categories"]:
        category["frequency"] = "f"
    (row,) = evaluate("instances", write(coco, document))["LVIS"]
    assert 0 <= row["AP"] == row["frequent"] <= 1


def test_a_method_can_be_added_later(evaluate, photos, tmp_path):
    command = ("points", f"discs={photos}", "--no-noc", "--clicks", "1", "--methods")
    disc = evaluate(*command, "disc")["mIoU"][0]
    before = written(tmp_path / "out")
    assert evaluate(*command, "disc,otsu")["mIoU"][0] == disc
    assert written(tmp_path / "out").items() > before.items()


def test_edges_without_truth(evaluate, photos, complaint, tmp_path):
    truth = photos / "ground_truth"
    truth.mkdir()
    options = (photos / "images", "--methods", "sobel")
    line = complaint("evaluate", "edges", *options, "--output", tmp_path / "none")
    assert "no image could be measured" in line
    assert "0.png: no boundaries in" in line
    drawn = sobel_edges(read_image(photos / "images/1.png")) > 0.1
    np.savez(truth / "1.npz", boundaries=drawn[None])
    (sobel,) = evaluate("edges", *options, code=1)["Edges,"]
    assert sobel["images"] == 1


def test_what_cannot_be_used_is_told_at_the_end(evaluate, photos, coco, capsys, tmp_path):
    (photos / "labels" / "1.png").unlink()
    tables = evaluate("points", f"discs={photos}", "--clicks", "1", "--no-noc", code=1)
    assert tables["mIoU"][0]["images"] == 3
    assert "no results of 1 image:" in capsys.readouterr().err
    Image.fromarray(PHOTO[:-1]).save(photos / "images/2.png")
    evaluate("instances", coco, output="boxes", code=1)
    assert len(json.loads((tmp_path / "boxes" / "detections.json").read_text())) == 6
    assert "says 60 and 40" in capsys.readouterr().err


def test_bad_input(complaint, photos, coco, tmp_path, weights):
    output = ("--output", tmp_path / "out", "--checkpoint", weights)
    split = f"discs={photos}"
    line = complaint("evaluate", "points", split, "--methods", "magic", *output)
    assert "no method is called 'magic'; there are sam," in line
    line = complaint("evaluate", "points", split, split, *output)
    assert "two data sets are called discs" in line
    assert "cannot be a folder's name" in complaint("evaluate", "points", f"a/b={photos}", *output)
    assert "give NAME=PLACE" in complaint("evaluate", "points", photos, *output)
    assert "no such file" in complaint("evaluate", "points", "a=nowhere", *output)
    assert "must be 1 or more" in complaint("evaluate", "points", split, "--images", "0", *output)
    assert "not in BSDS500's form" in complaint("evaluate", "edges", tmp_path, *output)
    assert "nothing to measure against" in complaint(
        "evaluate",
        "instances",
        write(tmp_path / "t.json", {"images": [], "annotations": []}),
        *output,
    )
    other = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 1}]
    boxes = write(tmp_path / "boxes.json", other)
    line = complaint("evaluate", "instances", coco, "--boxes", boxes, *output)
    assert "of another data set" in line
    empty = write(tmp_path / "e.json", {"images": [], "annotations": [], "categories": []})
    assert "e.json" in complaint("evaluate", "proposals", f"none={empty}", *output)


def write(path, document):
    path.write_text(json.dumps(document))
    return path


def test_other_settings_are_not_mixed(evaluate, photos, complaint, tmp_path, weights):
    command = ("points", f"discs={photos}", "--methods", "disc", "--no-noc", "--clicks")
    evaluate(*command, 1)
    line = complaint("evaluate", *command, 2, "--output", tmp_path / "out", "--checkpoint", weights)
    assert "other settings (config" in line
