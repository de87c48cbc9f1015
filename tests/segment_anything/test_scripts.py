"""Scripts for the official package, unchanged: everything that they compute is what it is officially."""

import os
import subprocess
import sys

import pytest

from sam_jax.checkpoints import SHIPPED_WEIGHTS
from sam_jax.segment_anything.__main__ import main
from tests.segment_anything.conftest import SCRIPTS, assert_same_variables

ROOT = SCRIPTS.parents[2]

EXPECTED = {
    "prompts_notebook": {
        "masks", "scores", "logits", "masks_of_two", "masks_of_opposites", "masks_of_box",
        "masks_of_both", "transformed_boxes", "masks_of_boxes", "low_of_boxes", "batched_output",
    },
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


def run_from_command_line(*arguments, folder):
    words = (sys.executable, "-m", "sam_jax.segment_anything", *map(str, arguments))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_script_runs_unchanged_from_the_command_line(photo, tmp_path):
    """With the shipped weights, which official PyTorch cannot load: answers have the official forms."""
    script = SCRIPTS / "prompts_notebook.py"
    ended = run_from_command_line(script, photo, SHIPPED_WEIGHTS, "tiny", "cuda:0", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    shapes = "(3, 90, 130) torch.Size([3, 1, 90, 130])"
    assert ended.stdout == f"{shapes} ['masks', 'iou_predictions', 'low_res_logits']\n"


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
