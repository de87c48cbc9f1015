import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sam_jax import InputError
from sam_jax.data.example import Example
from sam_jax.evaluation.coco_truth import ObjectTruth
from sam_jax.evaluation.proposals.proposers import RankedMasks
from sam_jax.evaluation.proposals.recall import (
    LIMITS,
    average_recall,
    count_found,
    tabulate_recall,
)
from sam_jax.ops.rle import decompress_counts, encode_rle

HEIGHT, WIDTH = 150, 230


def rectangle(x, y, width, height, size=(HEIGHT, WIDTH)):
    mask = np.zeros(size, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def draw_rectangles(random, count):
    """Half of them small, some larger than 96² pixels."""
    sides = np.where(
        random.random((count, 1)) < 0.5,
        random.integers(4, 40, (count, 2)),
        random.integers(30, 140, (count, 2)),
    )
    corners = (random.random((count, 2)) * (np.array([WIDTH, HEIGHT]) - sides)).astype(int)
    return np.concatenate([corners, sides], axis=1)


class MadeUp:
    """Images with rectangles as truth, and shifted ones of random score as proposals."""

    def __init__(self, seed, images=3, masks=14, per_mask=9):
        random = np.random.default_rng(seed)
        self.examples, self.objects, self.proposals = [], [], []
        for number in range(images):
            boxes = draw_rectangles(random, masks)
            truths = [rectangle(*box) for box in boxes.tolist()]
            # Areas of the file differ from the masks', as those of polygons do.
            areas = [float(mask.sum() * random.uniform(0.9, 1.1)) for mask in truths]
            known = [
                ObjectTruth(area, "fcr"[choice])
                for area, choice in zip(areas, random.integers(0, 3, masks).tolist(), strict=True)
            ]
            self.examples.append(
                Example(str(number), np.zeros((HEIGHT, WIDTH, 3), np.uint8), truths)
            )
            self.objects.append(known)
            spread = np.maximum(boxes[:, None, 2:] // 5, 1)
            shifts = random.integers(-spread, spread + 1, (masks, per_mask, 2))
            shifted = np.repeat(boxes[:, None], per_mask, axis=1)
            shifted[..., :2] = np.clip(shifted[..., :2] + shifts, 0, None)
            shifted = random.permutation(shifted.reshape(-1, 4))
            scores = np.sort(random.random(len(shifted)))[::-1]
            rles = [encode_rle(rectangle(*box), compress=True) for box in shifted.tolist()]
            self.proposals.append(RankedMasks(rles, scores))

    def measure(self):
        return [
            count_found(self.proposals[i], example, self.objects[i])
            for i, example in enumerate(self.examples)
        ]


def evaluate_by_pycocotools(data, frequency=None, crowds=0):
    """AR at the limits, and of small, medium and large masks at the last one."""
    truths, results = [], []
    for number, example in enumerate(data.examples):
        for mask, known in zip(example.masks, data.objects[number], strict=True):
            truths.append(
                {
                    "image_id": number,
                    "area": known.area,
                    "iscrowd": int(frequency is not None and known.frequency != frequency),
                    "segmentation": encode_rle(mask, compress=True),
                }
            )
        for shift in range(crowds):
            mask = rectangle(10 + 30 * shift, 20, 60, 90)
            truths.append(
                {
                    "image_id": number,
                    "area": 5400,
                    "iscrowd": 1,
                    "segmentation": encode_rle(mask, compress=True),
                }
            )
        found = data.proposals[number]
        for rle, score in zip(found.rles, found.scores.tolist(), strict=True):
            results.append({"image_id": number, "segmentation": rle, "score": score})
    for entries in (truths, results):
        for index, entry in enumerate(entries):
            entry |= {"id": index + 1, "category_id": 1}
            entry.setdefault("area", 0)
            entry.setdefault("iscrowd", 0)
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for annotations in (truths, results):
            side = COCO()
            side.dataset = {
                "images": [
                    {"id": i, "height": HEIGHT, "width": WIDTH} for i in range(len(data.examples))
                ],
                "annotations": annotations,
                "categories": [{"id": 1}],
            }
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, iouType="segm")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = list(LIMITS)
        evaluation.evaluate()
        evaluation.accumulate()
    recall = evaluation.eval["recall"][:, 0]  # threshold, area, limit
    by_limit = recall[:, 0].mean(axis=0)
    by_size = recall[:, 1:, -1].mean(axis=0)
    return [*by_limit.tolist(), *by_size.tolist()]


@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_pycocotools_crowds_and_sizes_included(seed):
    data = MadeUp(seed)
    ours = tabulate_recall({"made up": data.measure()}).rows[0][3:9]
    np.testing.assert_allclose(ours, evaluate_by_pycocotools(data, crowds=3), rtol=0, atol=1e-6)
    assert 0.05 < ours[0] < ours[1] < ours[2] < 1
    assert len(set(ours)) >= 5


def test_frequencies_agree_with_pycocotools_that_ignores_the_others():
    data = MadeUp(2)
    table = tabulate_recall({"made up": data.measure()})
    ours = dict(zip(table.columns, table.rows[0], strict=True))
    for letter, name in (("f", "frequent"), ("c", "common"), ("r", "rare")):
        theirs = evaluate_by_pycocotools(data, letter)[2]
        assert ours[name] == pytest.approx(theirs, abs=1e-6)


def test_agrees_with_a_plain_loop():
    data = MadeUp(3, images=1)
    example, found = data.examples[0], data.proposals[0]
    recalls = []
    for percent in range(50, 100, 5):
        free = list(range(len(example.masks)))
        for rle in found.rles[:100]:
            mask = np.zeros(HEIGHT * WIDTH, bool)
            counts = np.cumsum(decompress_counts(rle["counts"]))
            for start, stop in zip(counts[0::2], counts[1::2], strict=False):
                mask[start:stop] = True
            mask = mask.reshape(WIDTH, HEIGHT).T
            ious = [
                np.count_nonzero(mask & example.masks[i])
                / np.count_nonzero(mask | example.masks[i])
                for i in free
            ]
            if ious and max(ious) >= percent / 100:
                free.pop(int(np.argmax(ious)))
        recalls.append(1 - len(free) / len(example.masks))
    assert average_recall(data.measure(), 100) == pytest.approx(np.mean(recalls), abs=1e-6)


def test_a_case_by_hand():
    truths = [rectangle(0, 0, 10, 10), rectangle(50, 0, 10, 10), rectangle(0, 50, 10, 10)]
    masks = [
        rectangle(0, 0, 10, 8),  # IoU 0.8 with the first
        rectangle(0, 0, 10, 10),  # finds it where the one before does not: above 0.8
        rectangle(50, 0, 10, 6),  # IoU 0.6 with the second
    ]
    example = Example("hand", np.zeros((HEIGHT, WIDTH, 3), np.uint8), truths)
    found = RankedMasks([encode_rle(mask, compress=True) for mask in masks], np.array([3.0, 2, 1]))
    record = count_found(found, example)
    # Thresholds 0.5, 0.55, 0.6 find two of three masks, the others one.
    assert record["groups"]["all"]["found"]["10"] == [2, 2, 2] + [1] * 7
    assert average_recall([record], 10) == pytest.approx((3 * 2 + 7) / 30, abs=1e-12)
    assert average_recall([record], 10, "small") == average_recall([record], 10)
    assert average_recall([record], 10, "large") is None
    assert record["first"] == found.rles
    assert json.loads(json.dumps(record)) == record


def test_a_limit_cuts_the_ranking():
    truth = rectangle(20, 30, 40, 50)
    empty = rectangle(100, 100, 5, 5)
    rles = [encode_rle(mask, compress=True) for mask in [empty] * 10 + [truth]]
    found = RankedMasks(rles, np.arange(11.0)[::-1])
    example = Example("late", np.zeros((HEIGHT, WIDTH, 3), np.uint8), [truth])
    record = count_found(found, example)
    assert record["first"] == rles[:2]
    assert tabulate_recall({"late": [record]}).rows[0][3:6] == (0.0, 1.0, 1.0)


def test_an_area_on_the_border_belongs_to_both_sizes():
    truth = rectangle(0, 0, 64, 16)
    found = RankedMasks([encode_rle(truth, compress=True)], np.ones(1))
    example = Example("border", np.zeros((HEIGHT, WIDTH, 3), np.uint8), [truth])
    groups = count_found(found, example)["groups"]
    assert [groups[size]["masks"] for size in ("all", "small", "medium", "large")] == [1, 1, 1, 0]


def test_no_proposals_and_no_truth():
    nothing = RankedMasks([], np.zeros(0))
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    missed = count_found(nothing, Example("a", blank, [rectangle(1, 2, 3, 4)]))
    without = count_found(nothing, Example("b", blank, []))
    assert average_recall([missed, without], 1000) == 0
    assert average_recall([without], 1000) is None


def test_order_of_images_makes_no_difference():
    records = MadeUp(4).measure()
    assert tabulate_recall({"a": records}) == tabulate_recall({"a": records[::-1]})


def test_wrong_sizes():
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    turned = rectangle(1, 2, 3, 4, (WIDTH, HEIGHT))
    found = RankedMasks([encode_rle(turned, compress=True)], np.ones(1))
    with pytest.raises(
        InputError, match="a: a mask is 150 wide and 230 high, but the photo is 230"
    ):
        count_found(found, Example("a", blank, [turned]))
    example = Example("b", blank, [rectangle(1, 2, 3, 4)])
    with pytest.raises(InputError, match="b: a proposal has another size"):
        count_found(found, example)
    with pytest.raises(InputError, match="has 1 masks, but areas or frequencies for 0"):
        count_found(found, example, [])
