"""What is exported to StableHLO runs without the model's code, with the same numbers."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import sam_jax
from sam_jax.data.framing import frame_image
from sam_jax.export.files import export_model
from sam_jax.export.packing import find_packing
from sam_jax.inference.steps import embed_images, predict_masks
from sam_jax.models import ON_ACCELERATOR
from sam_jax.types import CheckpointError, InputError, Prompts

LOAD = """
import sys, numpy as np
sys.modules["sam_jax.models"] = None  # whoever imports it fails
import sam_jax
sam_jax.frame_image(np.zeros((4, 5, 3), np.uint8), (128, 128))
model = sam_jax.load_exported(sys.argv[1])
for path in sys.argv[2:]:
    given = dict(np.load(path))
    embeddings = model.encode_image(given["framed"], given["fitted"])
    masks = given.get("masks")
    answer = model.predict_masks(embeddings, given["points"], given["labels"], masks)
    np.savez(f"{path}.answer", embeddings=embeddings, logits=answer.logits, iou=answer.iou)
assert not any(name.startswith("sam_jax.models.") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def path(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "small.stablehlo"
    assert export_model(small.model, path, part="both", masks="multi") == [path]
    return path


def ask(draw, images, prompts, points):
    """Photos and prompts; masks are among them where there is one prompt."""
    photos = draw.integers(0, 256, (images, 60, 90, 3)).astype(np.uint8)
    framed, framings = zip(*(frame_image(photo, (128, 128)) for photo in photos), strict=True)
    given = {
        "framed": np.stack(framed),
        "fitted": np.array([framing.fitted for framing in framings], np.int32),
        "points": (draw.random((images, prompts, points, 2)) * 80).astype(np.float32),
        "labels": draw.integers(-1, 4, (images, prompts, points)).astype(np.int32),
    }
    if prompts == 1:
        given["masks"] = draw.normal(size=(images, 1, 32, 32)).astype(np.float32)
    return given


@pytest.mark.slow
def test_a_process_without_the_models_code(small, path, tmp_path, draw):
    """For several numbers of images, of prompts and of points."""
    asked = {
        str(tmp_path / f"{images}-{prompts}-{points}.npz"): ask(draw, images, prompts, points)
        for images, prompts, points in ((1, 1, 1), (3, 1, 2), (1, 5, 3))
    }
    for name, given in asked.items():
        np.savez(name, **given)
    command = [sys.executable, "-c", LOAD, path, *asked]
    subprocess.run(command, check=True, timeout=300)
    for name, given in asked.items():
        assert_same(small.model, given, np.load(f"{name}.answer.npz"))


def assert_same(model, given, answer):
    # Divided as in the file: on CPU, products are cut otherwise, which rounds otherwise.
    model = replace(model, compute=replace(ON_ACCELERATOR, attention="strips"))
    embedding = embed_images(model, given["framed"], given["fitted"])
    expected = predict_masks(
        model,
        embedding,
        Prompts(given["points"], given["labels"], given.get("masks")),
        multimask_output=True,
    )
    packed = find_packing(model).pack(embedding)
    for name, other in (
        ("embeddings", packed),
        ("logits", expected.logits),
        ("iou", expected.iou),
    ):
        other = np.asarray(other)
        limit = 1e-6 * np.abs(other).max()
        np.testing.assert_allclose(answer[name], other, rtol=0, atol=limit)


def test_says_what_it_is(path):
    about = sam_jax.load_exported(path).about
    assert about["platforms"] == ["cpu", "cuda", "tpu"]
    assert about["image_size"] == [128, 128]


def test_a_file_of_one_part_names_the_other(small, tmp_path):
    export_model(small.model, tmp_path / "encoder.stablehlo", part="encoder")
    model = sam_jax.load_exported(tmp_path / "encoder.stablehlo")
    with pytest.raises(InputError, match="no decoder: export it with --part both"):
        model.predict_masks(
            np.zeros((1, 32, 8, 8)), np.zeros((1, 1, 1, 2)), np.ones((1, 1, 1), int)
        )
    with pytest.raises(InputError, match="framed to 128x128"):
        model.encode_image(np.zeros((1, 64, 128, 3), np.uint8), np.array([[64, 128]]))


def test_bad_files_are_refused_by_name(path, tmp_path):
    content = path.read_bytes()
    bad = tmp_path / "bad.stablehlo"
    for part in (b"", b"ONNX", content[: len(content) // 2], content[100:]):
        bad.write_bytes(part)
        with pytest.raises(CheckpointError, match=r"bad\.stablehlo is damaged"):
            sam_jax.load_exported(bad)
    with pytest.raises(CheckpointError, match="no such file"):
        sam_jax.load_exported(tmp_path / "missing.stablehlo")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}

    def rewrite(**changed):
        with zipfile.ZipFile(bad, "w") as archive:
            for name, text in (parts | changed).items():
                archive.writestr(name, text)

    about = json.loads(parts["about.json"])
    rewrite(**{"about.json": json.dumps(about | {"format": 2})})
    with pytest.raises(CheckpointError, match="version 2 of the format"):
        sam_jax.load_exported(bad)
    rewrite(**{"decoder.jax_export": parts["decoder.jax_export"][:-100]})
    with pytest.raises(CheckpointError, match="cannot be read by JAX"):
        sam_jax.load_exported(bad)
