"""What a run leaves behind."""

import json
import struct

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

import sam_jax
from sam_jax.training.config_differences import find_differences

from .conftest import MINIATURE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def metrics(undisturbed):
    return [json.loads(line) for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]


def read_events(folder):
    """By the format of TFRecord: a length, its checksum, that many bytes, their checksum."""
    (path,) = folder.iterdir()
    content = path.read_bytes()
    events = []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return events


def test_the_loss_falls(metrics):
    loss = [line["loss"] for line in metrics]
    assert np.mean(loss[-5:]) < np.mean(loss[:5]) - 0.05


def test_metrics_are_written_step_by_step(metrics):
    assert [line["step"] for line in metrics] == list(range(1, 21))
    for line in metrics:
        assert line["masks"] == 8
        assert line["loss"] == pytest.approx(line["mask"] + line["iou_error"])
        assert line["mask"] == pytest.approx(20 * line["focal"] + line["dice"], rel=1e-5)
        assert 0 <= line["first_iou"] == line["last_iou"] <= 1
        assert line["gradient_norm"] > 0
        assert line["skipped_records"] == 0
    rates = [line["learning_rate"] for line in metrics]
    assert rates[:2] == pytest.approx([5e-4, 1e-3])
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_tensorboard_has_them_too(undisturbed, metrics):
    events = read_events(undisturbed / "events")
    losses = {
        event.step: event.summary.value[0].simple_value
        for event in events
        if event.summary.value and event.summary.value[0].tag == "loss"
    }
    assert losses == pytest.approx({line["step"]: line["loss"] for line in metrics})
    (shown,) = (
        event for event in events if event.summary.value[:1] and event.summary.value[0].image.height
    )
    assert shown.step == 20
    assert (shown.summary.value[0].image.height, shown.summary.value[0].image.width) == (144, 208)


def test_a_picture_has_a_row_for_each_image(undisturbed):
    (path,) = (undisturbed / "pictures").iterdir()
    assert path.name == "step_0000020.png"
    with Image.open(path) as picture:
        assert picture.size == (4 * (48 + 4), 4 * (32 + 4))
        pixels = np.asarray(picture)
    assert pixels.std(axis=(0, 1)).min() > 10


def test_a_loss_that_diverges_ends_the_run(program, tmp_path):
    code, out, err = program.run(tmp_path / "run", "--optimiser.rate", "1e38")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: training failed at step ")
    assert "Start again, from step 0, with a lower optimiser.rate" in err


def test_the_weights_are_a_model(undisturbed):
    model = sam_jax.load(undisturbed / "weights.safetensors")
    assert model.config == MINIATURE


def test_the_config_is_kept(undisturbed):
    kept = json.loads((undisturbed / "config.json").read_text())
    about = json.loads(next((undisturbed / "states" / "20" / "about").glob("metadata")).read_text())
    assert find_differences(kept, about["config"]) == []
    assert kept["model"]["image_encoder"]["image_size"] == [32, 48]
