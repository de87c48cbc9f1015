"""The calls of the official notebook about prompts, with ViT-B and both packages: the same answers."""

import pytest

from experiments.parity import make_pair
from sam_jax.models import VIT_B
from tests.segment_anything.conftest import (  # noqa: F401
    assert_same_variables,
    checkpoint,
    photo,
    run_script,
)


@pytest.mark.slow
def test_vit_b(run_script, tmp_path):  # noqa: F811
    make_pair(VIT_B, tmp_path)
    weights = {"weights": tmp_path / "official.pth", "model_type": "vit_b"}
    theirs, mine = (run_script("prompts_notebook", ours=ours, **weights) for ours in (False, True))
    assert mine["predictor"].features.shape == (1, 256, 64, 64)
    assert_same_variables(theirs, mine, {"masks", "low_of_boxes", "batched_output"})
