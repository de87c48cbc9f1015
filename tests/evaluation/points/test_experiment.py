"""The point experiment as it is called from Python."""

import json

import numpy as np
import pytest
from PIL import Image

from sam_jax.evaluation import Method, PointsConfig, evaluate_points, open_splits, point_methods
from sam_jax.evaluation.points.classical import Disc
from sam_jax.evaluation.points.sessions import Picker, click_objects
from sam_jax.evaluation.points.summary import mean_curve

HEIGHT, WIDTH = 40, 60
CONFIG = PointsConfig(clicks=2, noc_thresholds=())


@pytest.fixture
def folder(tmp_path):
    """Three photos with two objects each."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for name in ("images", "labels"):
        (tmp_path / "discs" / name).mkdir(parents=True)
    for number in range(3):
        labels = (np.hypot(rows - 20, columns - 15 - number) < 11).astype(np.uint8)
        labels[5:12, 40:58] = 2
        photo = np.repeat(labels[:, :, None] * 90, 3, axis=2)
        Image.fromarray(photo).save(tmp_path / f"discs/images/{number}.png")
        Image.fromarray(labels).save(tmp_path / f"discs/labels/{number}.png")
    return tmp_path / "discs"


def test_methods_by_name_and_of_ones_own(folder, tmp_path):
    splits = open_splits([f"discs={folder}"], most=2)
    mine = Method(name="mine", copies=[Disc(), Disc()], settings={"radius": 0.1})
    findings = evaluate_points(
        splits, [*point_methods(["disc"]), mine], CONFIG, str(tmp_path / "out")
    )
    records = [click_objects(Disc(), splits[0].source[index], index, CONFIG) for index in (0, 2)]
    expected = mean_curve(records, Picker.TRUSTED, 2)
    disc, own = findings.tables[0].rows
    assert disc == ("disc, discs", 2, 4, *expected)
    assert own == ("mine, discs", 2, 4, *expected)
    assert findings.problems == []
    assert [name.split(",")[0] for name in findings.cases] == ["mine"] * 3
    settings = json.loads((tmp_path / "out" / "results.json").read_text())["settings"]
    assert settings["places"] == {"discs": str(folder.resolve())}
    assert settings["config"]["clicks"] == 2
    assert settings["radius"] == 0.1
    record = json.loads((tmp_path / "out/discs/mine/records/000001.json").read_text())
    assert record["masks"] == records[1]["masks"]
