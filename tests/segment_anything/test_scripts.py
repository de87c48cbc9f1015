"""Scripts for the official package, unchanged: everything that they compute is what it is officially."""

import os
import subprocess
import sys

import onnxruntime
import pytest
import torch

from sam_jax.segment_anything.__main__ import main
from sam_jax.segment_anything.utils.onnx import SamOnnxModel, redirect_export
from sam_jax.types import InputError
from tests.segment_anything.conftest import SCRIPTS, assert_same_variables

ROOT = SCRIPTS.parents[2]

EXPECTED = {
    "prompts_notebook": {
        "masks", "scores", "logits", "masks_of_two", "masks_of_opposites", "masks_of_box",
        "masks_of_both", "transformed_boxes", "masks_of_boxes", "low_of_boxes",
    },
    "images_notebook": {"batched_input", "batched_output", "keys"},
    "everything_notebook": {"masks", "masks2", "count", "overlay"},
    "finetuning": {"losses", "names", "number_of_all", "embedding", "masks", "low_after"},
    "annotation": {"answers", "embedding_shapes", "nothing_asked", "no_click", "forgotten"},
    "tracker": {"found", "track"},
    "boxes_to_masks": {"masks", "sparse", "bare", "dense_pe", "low_again", "upscaled", "sizes"},
    "everything_to_coco": {"records", "annotations", "cleaned_boxes", "before", "runs", "decoded"},
}  # fmt: skip
"""For each script, some of the variables that are compared, as all of them are."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
@pytest.mark.parametrize("name", EXPECTED)
def test_a_script_computes_what_it_does_officially(name, run_script):
    assert_same_variables(run_script(name, ours=False), run_script(name, ours=True), EXPECTED[name])


@pytest.mark.slow
def test_the_official_export_of_onnx(run_script, monkeypatch, tmp_path):
    """`torch.onnx.export` leads to our export; what the official and our file compute is alike."""
    monkeypatch.chdir(tmp_path)
    theirs = run_script("onnx_export", ours=False)
    monkeypatch.setattr(torch.onnx, "export", torch.onnx.export)  # put back at the end
    redirect_export()
    mine = run_script("onnx_export", ours=True)
    expected = {"eager", "stability", "shares", "masks", "low_res_logits", "image_embedding"}
    assert_same_variables(theirs, mine, expected)


def test_other_models_are_exported_by_pytorch(monkeypatch):
    taken = []

    def export(model, args=(), f=None):
        taken.append((model, args, f))

    monkeypatch.setattr(torch.onnx, "export", export)
    redirect_export()
    model = torch.nn.Linear(2, 3)
    torch.onnx.export(model, (torch.zeros(1, 2),), f="linear.onnx")
    assert [(one is model, name) for one, _, name in taken] == [(True, "linear.onnx")]


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
def test_an_export_that_is_not_redirected_says_what_to_call(sam, tmp_path):
    model = SamOnnxModel(sam, return_single_mask=False)
    sizes = ((1, 32, 8, 8), (1, 2, 2), (1, 2), (1, 1, 32, 32), (1,), (2,))
    with pytest.raises(InputError, match=r"call onnx_model\.export\(PATH\) instead"):
        torch.jit.trace(model, tuple(torch.ones(size) for size in sizes))
    with pytest.raises(InputError, match="leave out use_stability_score"):
        SamOnnxModel(sam, True, use_stability_score=True).export(tmp_path / "decoder.onnx")
    assert not list(tmp_path.iterdir())
    model.export(tmp_path / "decoder.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "decoder.onnx")
    assert session.get_outputs()[0].shape == [1, 4, "height", "width"]


def run_from_command_line(*arguments, folder):
    words = (sys.executable, "-m", "sam_jax.segment_anything", *map(str, arguments))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


SCRIPT = """
import sys
import cv2, numpy, torch
from segment_anything import SamPredictor, sam_model_registry

photo, checkpoint, model_type = sys.argv[1:]
predictor = SamPredictor(sam_model_registry[model_type](checkpoint=checkpoint).to("cuda:0"))
predictor.set_image(cv2.imread(photo), "BGR")
point = numpy.array([[60, 40]])
masks, scores, _ = predictor.predict(point, numpy.array([1]))
low = predictor.predict_torch(torch.tensor([[[60.0, 40.0]]]), torch.tensor([[1]]))[2]
print(type(masks).__name__, masks.dtype, masks.shape, scores.shape, type(low).__name__, low.shape)
"""


@pytest.mark.slow
def test_a_script_runs_unchanged_from_the_command_line(photo, shipped_checkpoint, tmp_path):
    """With the shipped weights, which official PyTorch cannot load: answers have the official forms."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ended = run_from_command_line(script, photo, shipped_checkpoint, "tiny", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    answer = "ndarray bool (3, 90, 130) (3,) Tensor torch.Size([1, 3, 32, 32])\n"
    assert ended.stdout == answer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: python -m sam_jax.segment_anything"),
        (["no.py"], "error: no such script: no.py"),
    ],
)
def test_a_script_that_is_not_there(arguments, message, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(message)
