import contextlib
import io
import json
import math

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sam_jax import TINY, InputError, Model, load
from sam_jax.data.coco import CocoJson
from sam_jax.data.example import Example
from sam_jax.evaluation import proposals
from sam_jax.evaluation.coco_truth import ObjectTruth, read_truth
from sam_jax.evaluation.proposals import (
    LIMITS,
    ProposalConfig,
    Proposals,
    average_recall,
    felzenszwalb_proposals,
    mask_ious,
    measure_image,
    rank_masks,
    sam_proposer,
    summarise,
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
            self.proposals.append(Proposals(rles, scores))

    def measure(self):
        return [
            measure_image(lambda image, i=i: self.proposals[i], example, self.objects[i])
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
    ours = summarise({"made up": data.measure()}).rows[0][3:9]
    np.testing.assert_allclose(ours, evaluate_by_pycocotools(data, crowds=3), rtol=0, atol=1e-6)
    assert 0.05 < ours[0] < ours[1] < ours[2] < 1
    assert len(set(ours)) >= 5


def test_frequencies_agree_with_pycocotools_that_ignores_the_others():
    data = MadeUp(2)
    table = summarise({"made up": data.measure()})
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
    found = Proposals([encode_rle(mask, compress=True) for mask in masks], np.array([3.0, 2, 1]))
    record = measure_image(lambda image: found, example)
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
    found = Proposals(rles, np.arange(11.0)[::-1])
    example = Example("late", np.zeros((HEIGHT, WIDTH, 3), np.uint8), [truth])
    record = measure_image(lambda image: found, example)
    assert record["first"] == rles[:2]
    assert summarise({"late": [record]}).rows[0][3:6] == (0.0, 1.0, 1.0)


def test_an_area_on_the_border_belongs_to_both_sizes():
    truth = rectangle(0, 0, 64, 16)
    found = Proposals([encode_rle(truth, compress=True)], np.ones(1))
    example = Example("border", np.zeros((HEIGHT, WIDTH, 3), np.uint8), [truth])
    groups = measure_image(lambda image: found, example)["groups"]
    assert [groups[size]["masks"] for size in ("all", "small", "medium", "large")] == [1, 1, 1, 0]


def test_no_proposals_and_no_truth():
    nothing = Proposals([], np.zeros(0))
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    missed = measure_image(lambda image: nothing, Example("a", blank, [rectangle(1, 2, 3, 4)]))
    without = measure_image(lambda image: nothing, Example("b", blank, []))
    assert average_recall([missed, without], 1000) == 0
    assert average_recall([without], 1000) is None
    assert mask_ious([], [encode_rle(rectangle(0, 0, 2, 1), compress=True)]).shape == (0, 1)


def test_order_of_images_makes_no_difference():
    records = MadeUp(4).measure()
    assert summarise({"a": records}) == summarise({"a": records[::-1]})


def test_wrong_sizes():
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    turned = rectangle(1, 2, 3, 4, (WIDTH, HEIGHT))
    found = Proposals([encode_rle(turned, compress=True)], np.ones(1))
    with pytest.raises(
        InputError, match="a: a mask is 150 wide and 230 high, but the photo is 230"
    ):
        measure_image(lambda image: found, Example("a", blank, [turned]))
    example = Example("b", blank, [rectangle(1, 2, 3, 4)])
    with pytest.raises(InputError, match="b: a proposal has another size"):
        measure_image(lambda image: found, example)
    with pytest.raises(InputError, match="has 1 masks, but areas or frequencies for 0"):
        measure_image(lambda image: found, example, [])


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

    monkeypatch.setattr(proposals, "SamAutomaticMaskGenerator", Generator)
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
        record = measure_image(sam_proposer(model, config), Example("one", image, [truth]))
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
    assert mask_ious(found.rles, [encode_rle(truth, compress=True)]).max() > 0.75


def mask_area(rle):
    return sum(decompress_counts(rle["counts"])[1::2])


def write_lvis(folder):
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(folder / "photo.png")
    size = {"height": HEIGHT, "width": WIDTH, "file_name": "photo.png"}
    square = [[0, 0, 20, 0, 20, 30, 0, 30]]
    annotations = [
        {"image_id": image, "category_id": category, "iscrowd": crowd, "area": area}
        for image, category, crowd, area in [
            (9, 1, 0, 10.5),
            (7, 2, 0, 20),
            (9, 2, 1, 30),
            (9, 3, 0, 40),
        ]
    ]
    document = {
        "images": [{"id": 7, **size}, {"id": 8, **size}, {"id": 9, **size}],
        "annotations": [
            {**entry, "id": number, "segmentation": square}
            for number, entry in enumerate(annotations)
        ],
        "categories": [
            {"id": 1, "frequency": "f"},
            {"id": 2, "frequency": "c"},
            {"id": 3, "frequency": "r"},
        ],
    }
    path = folder / "lvis.json"
    path.write_text(json.dumps(document))
    return path


def test_areas_and_frequencies_follow_the_order_of_the_masks(tmp_path):
    path = write_lvis(tmp_path)
    truth, source = read_truth(path), CocoJson(path)
    objects = truth.objects()
    assert objects == [[ObjectTruth(20, "c")], [ObjectTruth(10.5, "f"), ObjectTruth(40, "r")]]
    assert [len(source[i].masks) for i in range(len(source))] == [len(some) for some in objects]
    assert truth.has_frequencies
    assert not truth.is_lvis
    groups = measure_image(lambda image: Proposals([], np.zeros(0)), source[1], objects[1])[
        "groups"
    ]
    assert {name: group["masks"] for name, group in groups.items() if group["masks"]} == {
        "all": 2,
        "small": 2,
        "frequent": 1,
        "rare": 1,
    }


def test_coco_has_no_frequencies(tmp_path):
    path = write_lvis(tmp_path)
    document = json.loads(path.read_text())
    document["categories"] = [{"id": 1}, {"id": 2}, {"id": 3}]
    del document["annotations"][0]["area"]
    path.write_text(json.dumps(document))
    truth = read_truth(path)
    assert not truth.has_frequencies
    assert truth.objects()[1] == [ObjectTruth(None, None), ObjectTruth(40, None)]
