"""ViT-B: the calls of the official notebook about prompts with both packages, and the predictor: the same answers."""

import pytest
from PIL import Image

from experiments.parity import CASES, PHOTO, Predictors, make_pair
from sam_jax import SamPredictor
from sam_jax.models import VIT_B
from tests.parity.test_predictor import assert_equal
from tests.segment_anything.conftest import (  # noqa: F401
    assert_same_variables,
    checkpoint,
    run_script,
)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "coffee.png"
    Image.fromarray(PHOTO).save(path)
    return path


@pytest.mark.slow
def test_vit_b(run_script, tmp_path):  # noqa: F811
    """In one test, since every embedding of an image takes long."""
    pair = make_pair(VIT_B, tmp_path)
    weights = {"weights": tmp_path / "official.pth", "model_type": "vit_b"}
    theirs, mine = (run_script("prompts_notebook", ours=ours, **weights) for ours in (False, True))
    assert mine["predictor"].features.shape == (1, 256, 64, 64)
    assert_same_variables(theirs, mine, {"masks", "low_of_boxes"})

    ours = SamPredictor(pair.model)
    ours.set_image(PHOTO)
    assert ours.get_image_embedding().shape == (1, 256, 64, 64)
    predictors = Predictors(VIT_B, PHOTO.shape, theirs["predictor"], ours)
    for name, multimask_output in (
        ("points", False),
        ("box with points", True),
        ("mask with point", True),
    ):
        assert_equal(predictors, CASES[name], multimask_output=multimask_output)
