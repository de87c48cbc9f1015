"""Everything that public scripts were seen to do with the official package, one by one, with both packages."""

import json
import re

import numpy as np
import pytest
import skimage.data
import torch

from experiments.official import segment_anything
from sam_jax import segment_anything as ours
from tests.docs.blocks import ROOT
from tests.segment_anything.conftest import assert_alike, official_name
from tests.segment_anything.uses import USES

IMAGE = skimage.data.coffee()[60:300:4, 150:490:4]


def prepare(package, sam):
    """The variables that a use knows."""
    sam.requires_grad_(False)
    predictor = package.SamPredictor(sam)
    predictor.set_image(IMAGE)
    settings = {"points_per_side": 2, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.3}
    generator = package.SamAutomaticMaskGenerator(sam, **settings)
    return {
        "np": np,
        "torch": torch,
        "json": json,
        "image": IMAGE,
        "sam": sam,
        "predictor": predictor,
        "device": "cpu",
        "click": np.array([[30, 20]]),
        "label": np.array([1]),
        "box": [10, 5, 60, 50],
        "boxes": torch.tensor([[10.0, 5, 60, 50], [20, 30, 100, 80]]),
        "dense_pe": sam.prompt_encoder.get_dense_pe(),
        "seed": torch.Generator().manual_seed(0),
        "generator": generator,
        "records": generator.generate(IMAGE),
        "registry": package.sam_model_registry,
        "SamPredictor": package.SamPredictor,
        "SamAutomaticMaskGenerator": package.SamAutomaticMaskGenerator,
    }


def try_all(package, sam):
    results = []
    prepared = prepare(package, sam)
    predictor = vars(prepared["predictor"])
    with_image = dict(predictor)
    for use in USES:
        predictor.update(with_image)  # whatever the use before has set
        names = dict(prepared)
        try:
            exec(use, names)
        except Exception as error:
            raise AssertionError(f"{use!r}: {error!r}") from error
        results.append(names.get("result"))
    return results


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_all_uses_work_as_they_do_officially(sam, official_sam):
    theirs = try_all(segment_anything, official_sam)
    with official_name():
        mine = try_all(ours, sam)
    for use, one, other in zip(USES, theirs, mine, strict=True):
        assert_alike(one, other, use)


def test_the_guide_has_a_row_for_each():
    guide = (ROOT / "docs/guides/segment_anything.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `.*$", guide[guide.index("## Names") :], re.MULTILINE)
    assert len(rows) == len(USES) == 95
