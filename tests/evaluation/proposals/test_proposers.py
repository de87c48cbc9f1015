import math

import numpy as np
import pytest

from sam_jax import TINY, InputError, Model, load
from sam_jax.data.example import Example
from sam_jax.evaluation.mask_overlap import rle_ious
from sam_jax.evaluation.proposals import proposers
from sam_jax.evaluation.proposals.proposers import (
    ProposalConfig,
    felzenszwalb_proposals,
    rank_masks,
    sam_proposer,
)
from sam_jax.evaluation.proposals.recall import average_recall, count_found
from sam_jax.ops.rle import decompress_counts, encode_rle

HEIGHT, WIDTH = 150, 230


def rectangle(x, y, width, height, size=(HEIGHT, WIDTH)):
    mask = np.zeros(size, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def found_mask(area, predicted_iou, stability_score):
    rle = encode_rle(rectangle(0, 0, area, 1), compress=True)
    return {
        "segmentation": rle,
        "area": area,
        "predicted_iou": predicted_iou,
        "stability_score": stability_score,
    }


def test_ranking_by_predicted_iou_and_stability():
    masks = [
        found_mask(1, 0.9, 0.1),
        found_mask(0, 1.0, math.nan),
        found_mask(2, 0.6, 0.8),
        found_mask(3, 0.2, 0.8),  # as good as the first, which stays ahead
        found_mask(4, 0.1, 0.2),
    ]
    best = rank_masks(masks, most=3)
    assert best.rles == [masks[i]["segmentation"] for i in (2, 0, 3)]
    np.testing.assert_allclose(best.scores, [0.7, 0.5, 0.5])
    assert rank_masks([], most=3).rles == []


def test_the_generator_gets_the_configuration(monkeypatch):
    arguments = {}

    class Generator:
        def __init__(self, model, **options):
            arguments.update(options)

        def generate(self, image):
            return [found_mask(area, area, 1) for area in (1, 2, 3)]

    monkeypatch.setattr(proposers, "SamAutomaticMaskGenerator", Generator)
    config = ProposalConfig(multimask_output=False, most=2)
    proposer = sam_proposer(Model(TINY, {}), config)
    assert proposer(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).scores.tolist() == [2, 1.5]
    assert arguments == {
        "points_per_side": 64,
        "points_per_batch": 64,
        "pred_iou_thresh": 0,
        "stability_score_thresh": 0,
        "box_nms_thresh": 0.9,
        "output_mode": "coco_rle",
        "multimask_output": False,
    }
    with pytest.raises(InputError, match="most is at least 1, not 0"):
        ProposalConfig(most=0)


@pytest.mark.slow
def test_segment_anything_proposes():
    image = np.full((60, 90, 3), 30, np.uint8)
    truth = rectangle(20, 10, 40, 30, (60, 90))
    image[truth] = (220, 180, 60)
    model = load(image_size=128)
    counts = []
    for multimask_output in (True, False):
        config = ProposalConfig(
            points_per_side=4, points_per_batch=16, multimask_output=multimask_output
        )
        record = count_found(sam_proposer(model, config)(image), Example("one", image, [truth]))
        assert average_recall([record], 1000) > 0.5
        counts.append(record["proposals"])
    assert 16 >= counts[1] >= 1
    assert counts[0] > counts[1]


def test_felzenszwalb_proposes_a_plain_rectangle():
    image = np.full((60, 90, 3), 30, np.uint8)
    truth = rectangle(20, 10, 40, 30, (60, 90))
    image[truth] = (220, 180, 60)
    found = felzenszwalb_proposals(image)
    assert len({rle["counts"] for rle in found.rles}) == len(found.rles) >= 2
    assert found.scores.tolist() == sorted((mask_area(rle) for rle in found.rles), reverse=True)
    # Smoothing makes its border a segment of its own.
    assert rle_ious(found.rles, [encode_rle(truth, compress=True)]).max() > 0.75


def mask_area(rle):
    return sum(decompress_counts(rle["counts"])[1::2])
