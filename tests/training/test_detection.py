"""Training of a detector, through the same loop as all training."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from sam_jax.checkpoints import load_detector, name_encoder, save_checkpoint
from sam_jax.data.augmentation import Augmentation
from sam_jax.losses import centre_focal, centre_targets, giou_loss
from sam_jax.models import Detector, DetectorConfig, init_detector, init_variables, predict_boxes
from sam_jax.training.config import DataConfig, DetectionConfig, Reporting, Synthetic
from sam_jax.training.detection import measure_detection
from sam_jax.training.embeddings import EmbeddedBatch
from sam_jax.training.loop import Ending, train
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.types import InputError

from .conftest import CONFIG, MINIATURE

DETECTOR = DetectorConfig(embedding_width=16, width=16, depth=1)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A run on pictures whose number is so small that a detector can learn them by heart."""
    path = tmp_path_factory.mktemp("weights") / "sam.safetensors"
    save_checkpoint(path, MINIATURE, init_variables(MINIATURE))
    return DetectionConfig(
        model=MINIATURE,
        checkpoint=str(path),
        detector=DETECTOR,
        data=DataConfig(
            sources=(Synthetic(seed=1, size=(64, 96), plain=1.0, repeat=8),),
            batch_size=8,
            masks_per_image=6,
        ),
        steps=60,
        optimiser=OptimiserConfig(
            rate=1e-2, warmup_steps=5, decay=CosineDecay(), weight_decay=0.0, layer_decay=1.0
        ),
        reporting=Reporting(metrics_every=10, pictures_every=60, states_every=30),
    )


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "detector"
    assert train(config, folder) is Ending.FINISHED
    return folder


def test_the_loss_falls_and_the_weights_are_a_detectors(finished, config):
    losses = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1]["loss"] < losses[0]["loss"] / 2
    assert losses[-1]["box"] < losses[0]["box"]
    assert losses[-1]["loss"] == pytest.approx(
        losses[-1]["centre"] + 5 * losses[-1]["box"], rel=1e-5
    )
    stored = load_detector(finished / "weights.safetensors")
    assert stored.config == DETECTOR
    assert stored.encoder == name_encoder(init_variables(MINIATURE)["params"])
    assert (finished / "pictures" / "step_0000060.png").stat().st_size > 1000


def test_a_finished_run_goes_on_from_its_state(finished, config):
    before = load_detector(finished / "weights.safetensors")
    assert train(config, finished) is Ending.FINISHED
    after = load_detector(finished / "weights.safetensors")
    assert jax.tree.all(jax.tree.map(np.array_equal, before.variables, after.variables))


def test_metrics_are_sums_over_the_objects_of_the_batch():
    random = np.random.default_rng(0)
    detector = Detector(DETECTOR, init_detector(DETECTOR, seed=2))
    features = random.standard_normal((2, 2, 3, 16), np.float32)
    masks = np.zeros((2, 3, 8, 12), bool)
    masks[0, 0, 1:4, 2:9] = masks[0, 1, 5:7, 0:2] = masks[1, 0, 2:8, 3:5] = True
    masks[1, 1, 0, 0] = True  # not valid
    valid = np.array([[True, True, False], [True, False, False]])
    batch = EmbeddedBatch(features, np.array([[32, 48], [32, 40]], np.int32), masks, valid)
    measure = jax.jit(measure_detection)
    sums = measure(detector, features, batch)
    dense = predict_boxes(detector, features)
    boxes = [[[8, 4, 36, 16], [0, 20, 8, 28]], [[12, 8, 20, 32]]]
    centre = box = 0.0
    for index, around in enumerate(boxes):
        known = np.array(around, np.float32)
        targets = centre_targets(known, np.ones(len(known), bool), size=(4, 6), cell=8)
        centre += centre_focal(dense.logits[index], targets.heat).sum()
        box += (targets.weights * giou_loss(dense.boxes[index], targets.boxes)).sum()
    assert sums.objects == 3
    np.testing.assert_allclose(sums.centre, centre, rtol=1e-5)
    np.testing.assert_allclose(sums.box, box, rtol=1e-5)
    np.testing.assert_allclose(sums.means().loss, (centre + 5 * box) / 3, rtol=1e-5)
    empty = batch._replace(valid=np.zeros((2, 3), bool))
    assert measure(detector, features, empty).means().box == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": dataclasses.replace(CONFIG.data, masks_per_image=0)}, "at least 1: a detector"),
        (
            {
                "data": dataclasses.replace(
                    CONFIG.data,
                    sources=(Synthetic(augmentation=Augmentation(flip_horizontally=True)),),
                )
            },
            "turn augmentation and pasting off",
        ),
        ({"optimiser": OptimiserConfig(warmup_steps=2, decay=CosineDecay())}, "set it to 1"),
        ({"detector": DetectorConfig()}, "embedding_width is 256"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(config, changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(config, **changes)


def test_weights_of_another_encoder_are_refused(config, tmp_path):
    model = dataclasses.replace(
        MINIATURE, image_encoder=dataclasses.replace(MINIATURE.image_encoder, window_size=1)
    )
    with pytest.raises(InputError, match="another image encoder"):
        train(dataclasses.replace(config, model=model), tmp_path)
