import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import sam_jax
from sam_jax.checkpoints import load_checkpoint, save_checkpoint
from sam_jax.cli.main import main
from sam_jax.data.images import read_image, write_image
from sam_jax.data.sources import open_source
from sam_jax.evaluation.mask_overlap import mask_iou
from sam_jax.evaluation.points.annotator import find_centre
from sam_jax.inference import SamPredictor, load
from sam_jax.models import init_variables
from sam_jax.training import embeddings
from sam_jax.training.pictures import GAP
from tests.training.conftest import MINIATURE, QUICK_AND_ALONE, SHORT


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six photos 60 wide and 40 high, with two objects each, lighter than what is around them."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for i in range(6):
        labels = np.zeros((40, 60), np.uint8)
        labels[4 + i : 20, 5 : 25 + i] = 1
        labels[24:36, 30 : 50 + i] = 2
        noise = rng.integers(0, 50, (40, 60, 3))
        pixels = (noise + np.array([20, 120, 200])[labels][:, :, None]).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "miniature.safetensors"
    save_checkpoint(path, MINIATURE, init_variables(MINIATURE, 0))
    return path


@pytest.fixture
def encoded(monkeypatch):
    """Counts images that are encoded for keeping."""
    images = []
    encode = embeddings._encode

    def count(*arguments):
        images.append(arguments[1].shape)
        return encode(*arguments)

    monkeypatch.setattr(embeddings, "_encode", count)
    return images


def leaves(path, part):
    config, variables = load_checkpoint(path)
    assert config == MINIATURE
    return jax.tree.leaves(variables["params"][part])


def difference(one, other, part):
    pairs = zip(leaves(one, part), leaves(other, part), strict=True)
    return max(float(np.abs(mine - its).max()) for mine, its in pairs)


def finetune(*arguments):
    """In a process of its own with one device."""
    return subprocess.run(
        [sys.executable, "-m", "sam_jax", "finetune", *map(str, arguments)],
        cwd=Path(sam_jax.__file__).parents[1],
        env=os.environ | QUICK_AND_ALONE,
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_gain(kept, printed, photos, weights):
    """What the command tells of photos that took no part is what the predictor says of them, one after the other."""
    told = re.search(
        r"4 objects of 2 photos that took no part in training: mean IoU (\S+) before and (\S+) after, "
        r"with one click; (\S+) and (\S+) with three\n",
        printed,
    )
    assert all(0 <= float(iou) <= 1 for iou in told.groups())
    assert read_image(kept / "gain.png").shape == (2 * (40 + GAP), 3 * (60 + GAP), 3)
    predictor = SamPredictor(load(weights))
    ious = []
    for number in (0, 3):
        predictor.set_image(read_image(photos / "images" / f"{number}.png"))
        labels = np.asarray(Image.open(photos / "labels" / f"{number}.png"))
        for label in (1, 2):
            masks, scores, _ = predictor.predict(find_centre(labels == label)[None], np.array([1]))
            ious.append(mask_iou(masks[scores.argmax()], labels == label))
    assert float(told[1]) == pytest.approx(np.mean(ious), abs=1e-3)


@pytest.mark.slow
def test_trains_the_decoder_the_same_with_and_without_keeping_embeddings(photos, weights, tmp_path):
    options = [photos, "--checkpoint", weights, *SHORT]
    kept, plain = tmp_path / "kept", tmp_path / "plain"
    ended = finetune(*options, "--hold-back", 3, "--output", kept)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"trained 4 steps: {kept / 'weights.safetensors'}\n")
    assert_gain(kept, ended.stdout, photos, weights)
    assert ended.stderr.startswith(f"preparing 4 steps of training in {kept}\n")
    assert f"encoding 4 images: 0.0 MB in {kept / 'embeddings'}" in ended.stderr
    assert len(list((kept / "embeddings").glob("*/*"))) == 4
    assert (kept / "pictures" / "step_0000004.png").exists()

    result = kept / "weights.safetensors"
    assert difference(result, weights, "image_encoder") == 0
    assert difference(result, weights, "mask_decoder") > 1e-4
    lines = [json.loads(line) for line in (kept / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 4

    used = tmp_path / "used"
    for part in ("images", "labels"):
        (used / part).mkdir(parents=True)
        for number in (1, 2, 4, 5):
            shutil.copy(photos / part / f"{number}.png", used / part)
    options[0] = used
    ended = finetune(*options, "--no-cache-embeddings", "--output", plain)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[1].startswith("no photo was held back to measure")
    assert not (plain / "embeddings").exists()
    for part in ("prompt_encoder", "mask_decoder"):
        assert difference(plain / "weights.safetensors", result, part) < 1e-5


@pytest.mark.slow
def test_the_output_of_generate_is_a_data_set(photos, weights, tmp_path):
    made = tmp_path / "everything"
    command = ["generate", photos / "images", "--output", made, "--checkpoint", weights]
    command += ["--points-per-side", 2, "--pred-iou-thresh", -9, "--stability-score-thresh", 0]
    assert main([str(part) for part in (*command, "--overlay", "--png", "--coco")]) == 0
    source = open_source(made)
    assert len(source) == 6
    assert all(len(source[index].masks) > 0 for index in range(6))


@pytest.mark.slow
def test_a_stop_while_images_are_encoded(photos, weights, encoded, tmp_path, capsys):
    shared = tmp_path / "shared"
    start = ["finetune", str(photos), "--checkpoint", str(weights), "--max-seconds", "0"]
    start += ["--embeddings", str(shared)]
    assert main([*start, "--output", str(tmp_path / "one")]) == 0
    assert "out of time: saved in" in capsys.readouterr().out
    assert len(encoded) == 1
    assert main([*start, "--output", str(tmp_path / "two")]) == 0
    assert len(encoded) == 1
    assert not (tmp_path / "two" / "embeddings").exists()


@pytest.mark.slow
def test_options_become_settings(photos, weights, tmp_path):
    start = ["finetune", str(photos), "--checkpoint", str(weights), "--max-seconds", "0"]
    options = [
        "--steps",
        "30",
        "--rate",
        "0.01",
        "--batch-size",
        "16",
        "--masks",
        "3",
        "--seed",
        "5",
    ]
    options += [
        "--iterations",
        "8",
        "--hold-back",
        "3",
        "--train-encoder",
        "--image-size",
        "48,64",
    ]
    assert main([*start, *options, "--output", str(tmp_path)]) == 0
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings["start_from"] == str(weights)
    assert settings["model"]["image_encoder"]["image_size"] == [48, 64]
    assert (settings["steps"], settings["seed"]) == (30, 5)
    assert (settings["frozen"], settings["cache_embeddings"]) == ([], False)
    assert (settings["optimiser"]["rate"], settings["optimiser"]["warmup_steps"]) == (0.01, 3)
    assert settings["data"]["batch_size"] == 16
    assert settings["data"]["masks_per_image"] == 3
    assert settings["data"]["sources"][0]["path"] == str(photos)
    assert settings["data"]["sources"][0]["hold_back"] == 3
    assert (
        settings["interaction"]["iterations"],
        settings["interaction"]["refine_iterations"],
    ) == (8, 2)
    assert settings["interaction"]["box_jitter_limit"] == 20 * 64 / 1024
    assert settings["execution"]["micro_batches"] == 2
    assert not (tmp_path / "embeddings").exists()
    config, _ = load_checkpoint(tmp_path / "weights.safetensors")
    assert config.image_encoder.image_size == (48, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch-size", "12"], "batch_size 12 cannot be divided over 8 devices; take a multiple of 8"),
        (["--steps", "0"], "steps is at least 1, not 0"),
        (["--rate", "0"], "rate is above 0, not 0"),
        (["--iterations", "0"], "iterations is at least 1, not 0"),
        (["--hold-back", "1"], "hold_back is 0, or 2 and more, not 1"),
        (["--image-size", "50"], "patch"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_says_what_is_wrong_with_options(photos, weights, tmp_path, complaint, options, message):
    start = ["finetune", photos, "--checkpoint", weights, "--output", tmp_path / "run"]
    assert message in complaint(*start, *options)


def test_says_what_is_not_there(photos, weights, tmp_path, complaint):
    output = ["--output", tmp_path / "run"]
    assert f"no such file or folder: {photos}s; did you mean {photos}?" in (
        complaint("finetune", f"{photos}s", "--checkpoint", weights, *output)
    )
    assert "no such file: none.pth" in complaint(
        "finetune", photos, "--checkpoint", "none.pth", *output
    )
    (tmp_path / "file").touch()
    assert f"cannot write {tmp_path / 'file'}" in complaint(
        "finetune", photos, "--checkpoint", weights, *output, "--embeddings", tmp_path / "file"
    )


@pytest.mark.slow
def test_what_is_left_out_is_counted_and_named(photos, weights, tmp_path):
    """One photo of four can be used: that is said before the first step, and at the end."""
    data = tmp_path / "data"
    for part in ("images", "labels"):
        (data / part).mkdir(parents=True)
        shutil.copy(photos / part / "0.png", data / part / "whole.png")
    pixels = read_image(photos / "images" / "0.png")
    for name in ("lonely", "soft", "turned"):
        write_image(data / "images" / f"{name}.png", pixels)
    small = Image.fromarray(np.asarray([[0, 60, 0], [120, 0, 200]], np.uint8))
    small.resize((60, 40), Image.Resampling.BILINEAR).save(data / "labels" / "soft.png")
    Image.new("L", (40, 60), 1).save(data / "labels" / "turned.png")
    done = finetune(data, "--checkpoint", weights, "--output", tmp_path / "run", *SHORT)
    assert done.returncode == 0, done.stderr
    start, _, rest = done.stderr.partition("first step")
    assert "4 images to train on" in start
    assert "left out 1 (" in start
    assert "lonely.png: no map lonely.png" in start
    skipped = (tmp_path / "run" / "skipped_records.txt").read_text().splitlines()
    assert [Path(line.partition(": ")[0].split(" ")[0]).stem for line in skipped] == [
        "lonely",
        "soft",
        "turned",
    ]
    assert "skipped records: 3 (" in rest
