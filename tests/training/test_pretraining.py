"""Pre-training as a masked autoencoder, through the same loop as all training."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import sam_jax
from sam_jax.checkpoints import load_mae
from sam_jax.data.array_record_builder import build_array_record
from sam_jax.data.augmentation import PRETRAINING
from sam_jax.distributed import device_mesh, place_batch
from sam_jax.distributed.chips import CHIPS
from sam_jax.models import ImageEncoderConfig, MaeConfig, TransformerConfig
from sam_jax.training import utilisation
from sam_jax.training.config import (
    DataConfig,
    Execution,
    PretrainConfig,
    Reporting,
    Stored,
    Synthetic,
)
from sam_jax.training.feed import make_loader, open_sources
from sam_jax.training.loop import Ending, train
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.training.preparation import first_state, prepare
from sam_jax.types import InputError

from .conftest import CONFIG

CONFIG_OF_MAE = PretrainConfig(
    model=MaeConfig(
        image_size=(64, 96),
        encoder=TransformerConfig(width=16, depth=1, num_heads=2),
        decoder=TransformerConfig(width=8, depth=1, num_heads=2),
    ),
    data=DataConfig(sources=(Stored(path="photos", augmentation=PRETRAINING),), batch_size=8),
    steps=12,
    optimiser=OptimiserConfig(
        rate=5e-3, warmup_steps=2, decay=CosineDecay(), beta2=0.95, layer_decay=1.0, clip_norm=None
    ),
    reporting=Reporting(metrics_every=1, pictures_every=12, states_every=4),
)

PROGRAM = """
import os, signal
from pathlib import Path

import jax

jax.config.update("jax_disable_most_optimizations", True)

from sam_jax.data.loader import Loader
from sam_jax.training.loop import train
from tests.training.test_pretraining import with_photos

take, taken = Loader.__next__, []

def take_or_die(loader):
    taken.append(0)
    if len(taken) > {batches}:
        os.kill(os.getpid(), signal.SIGKILL)
    return take(loader)

Loader.__next__ = take_or_die
train(with_photos({photos!r}), Path({folder!r}))
"""


def with_photos(path):
    data = CONFIG_OF_MAE.data
    sources = (dataclasses.replace(data.sources[0], path=str(path)),)
    return dataclasses.replace(CONFIG_OF_MAE, data=dataclasses.replace(data, sources=sources))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Stripes of all directions: what is removed can be told from what is seen."""
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:60, :80]
    for number in range(10):
        angle, colour = draw.uniform(0, np.pi), draw.uniform(0.3, 1, 3)
        wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) / 6)
        pixels = (127 + 120 * wave[..., None] * colour).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """The folder of a whole run, with a trace, on devices whose peak is known."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    known = dataclasses.replace(CHIPS[0], flops=1e12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilisation, "find_chip", lambda kind: known)
        ending = train(with_photos(photos), folder, profile=folder / "profile")
    assert ending is Ending.FINISHED
    return folder


@pytest.mark.slow
def test_what_a_run_leaves(finished, photos):
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert {line["patches"] for line in lines} == {8 * 18}
    losses = [line["loss"] for line in lines]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.05
    assert len(list((finished / "profile").rglob("*.xplane.pb"))) == 1
    # Of the same step, so what is done in a second goes with the rate alone; the first is not timed.
    work = [line["flop_utilisation"] / line["steps_per_second"] for line in lines[1:]]
    assert "flop_utilisation" not in lines[0]
    assert work == pytest.approx([work[0]] * 11)
    # A photo a device: the encoder sees 6 of 24 patches, the decoder all; three times that forward and back.
    forward = 2 * (6 * 768 * 16 + 6 * 12 * 16**2 + 24 * 12 * 8**2 + 24 * 8 * 768)
    assert 2 * forward < work[0] * 1e12 < 6 * forward
    assert "broken.png" in (finished / "skipped_records.txt").read_text()
    config, variables = load_mae(finished / "weights.safetensors")
    assert config == CONFIG_OF_MAE.model
    assert np.abs(variables["params"]["encoder"]["blocks_0"]["mlp"]["lin2"]["bias"]).max() > 0
    with Image.open(finished / "pictures" / "step_0000012.png") as picture:
        assert picture.size == (3 * (96 + 4), 4 * (64 + 4))


@pytest.mark.slow
def test_segmentation_starts_from_it(finished):
    model = dataclasses.replace(
        CONFIG.model,
        image_encoder=ImageEncoderConfig(
            image_size=(32, 48),
            width=16,
            depth=1,
            num_heads=2,
            window_size=2,
            global_blocks=(),
            out_channels=CONFIG.model.image_encoder.out_channels,
        ),
    )
    weights = str(finished / "weights.safetensors")
    config = dataclasses.replace(CONFIG, model=model, start_from=weights)
    said = []
    state = first_state(config, prepare(config), said.append)
    _, pretrained = load_mae(weights)
    np.testing.assert_array_equal(
        state.params["image_encoder"]["blocks_0"]["attn"]["qkv"]["kernel"],
        pretrained["params"]["encoder"]["blocks_0"]["attn"]["qkv"]["kernel"],
    )
    assert len(said) == 1
    assert said[0].startswith(f"{weights}: took 15 of ")
    assert "resized positions from 4x6 to 2x3; dropped " in said[0]
    again = dataclasses.replace(CONFIG_OF_MAE, start_from=weights)
    state = first_state(again, prepare(again))
    jax.tree.map(np.testing.assert_array_equal, state.params, pretrained["params"])


@pytest.mark.slow
def test_a_killed_run_ends_in_the_same_bytes(finished, photos, tmp_path):
    program = PROGRAM.format(batches=6, photos=str(photos), folder=str(tmp_path / "run"))
    killed = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(sam_jax.__file__).parents[1],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    assert train(with_photos(photos), tmp_path / "run") is Ending.FINISHED
    name = "weights.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes()


def test_eight_devices_are_as_one(photos, relative_difference):
    config = with_photos(photos)
    loader = make_loader(config, open_sources(config))
    batch = next(loader)
    loader.close()
    assert batch.images.any(axis=(1, 2, 3)).all()
    results = []
    for devices, settings in ((1, {}), (8, {"parameters": "sharded"})):
        mesh = device_mesh(jax.devices()[:devices])
        divided = dataclasses.replace(config, execution=Execution(**settings))
        plan = prepare(divided, mesh)
        state = first_state(divided, plan)
        before, metrics = jax.device_get(state.params), []
        for _ in range(2):
            state, *of_step = plan.train_step(state, place_batch(batch, mesh))
            metrics.append(jax.device_get(of_step))
        moves = jax.tree.map(np.subtract, jax.device_get(state.params), before)
        results.append((metrics, moves, jax.device_get(state.opt_state)))
    (metrics, moves, moments), (metrics_8, moves_8, moments_8) = results
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), metrics_8, metrics)
    assert relative_difference(moves_8, moves) < 5e-3
    assert relative_difference(moments_8, moments) < 1e-5


def test_array_record_gives_the_photos_of_its_folder(tmp_path):
    """Also those without any mask."""
    colours = [(30 * number, 200 - 30 * number, 90) for number in range(4)]
    (tmp_path / "folder").mkdir()
    for number, colour in enumerate(colours):
        photo = tmp_path / "folder" / f"{number}.png"
        Image.new("RGB", (80, 60), colour).save(photo)
        record = {"image_id": number, "height": 60, "width": 80, "file_name": photo.name}
        document = {"image": record, "annotations": []}
        photo.with_suffix(".json").write_text(json.dumps(document))
    build_array_record(tmp_path / "folder", tmp_path / "built")
    for place in ("folder", "built"):
        config = with_photos(tmp_path / place)
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, batch_size=4))
        loader = make_loader(config, open_sources(config))
        batch = next(loader)
        loader.close()
        assert batch.images.shape == (4, 64, 96, 3)
        found = {tuple(image[0, 0].tolist()) for image in batch.images}
        assert found == set(colours), place
        assert (batch.images == batch.images[:, :1, :1]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask_ratio": 1.0}, "leaves none to see or none to paint"),
        ({"mask_ratio": 0.0}, "leaves none to see or none to paint"),
        ({"optimiser": OptimiserConfig(warmup_steps=2, decay=CosineDecay())}, "set it to 1"),
        (
            {"data": DataConfig(sources=(Synthetic(),), batch_size=8, masks_per_image=4)},
            "looks at no masks",
        ),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG_OF_MAE, **settings)
