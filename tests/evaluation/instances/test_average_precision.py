import numpy as np
import pytest

from sam_jax import InputError
from sam_jax.evaluation.instances.average_precision import LVIS_MOST, average_precisions
from sam_jax.ops.rle import decode_rle

from ..rectangles import HEIGHT, OBJECTS, WIDTH, make_result, rectangle, write_truth


def test_ap_of_a_case_by_hand(tmp_path):
    first, second = (10, 20, 30, 40), (80, 20, 30, 40)
    truth = write_truth(tmp_path, [(7, 1, first, 0), (8, 1, second, 0)])
    results = [
        make_result(7, 1, first, 0.9),
        make_result(7, 1, (60, 60, 40, 30), 0.8),
        make_result(8, 1, second, 0.7),
    ]
    found = average_precisions(truth, results, [7, 8])
    # Precision is 1 up to a recall of one half (51 of 101 places), and 2/3 from there on.
    by_hand = (51 + 50 * 2 / 3) / 101
    for name in ("AP", "AP50", "AP75", "medium"):
        assert found[name] == pytest.approx(by_hand, abs=1e-9)
    assert found["small"] is None
    # The second image by itself.
    assert average_precisions(truth, results[2:], [8])["AP"] == pytest.approx(1)
    assert average_precisions(truth, [], [7, 8])["AP"] == 0


def test_sizes_are_those_of_masks_not_of_boxes(tmp_path):
    small = (10, 20, 20, 20)
    truth = write_truth(tmp_path, [(7, 1, small, 0)])
    stray = make_result(7, 1, (60, 60, 40, 30), 0.9) | {"bbox": [60, 60, 5, 5]}
    found = average_precisions(truth, [stray, make_result(7, 1, small, 0.5)], [7])
    # The stray mask is of medium size, so it doesn't count among the small ones.
    assert found["AP"] == pytest.approx(0.5)
    assert found["small"] == pytest.approx(1)


def slow_precision(truth_masks, results, threshold):
    """AP of one category at one threshold: truth by image, results (image, mask, score)."""
    free = {image: list(masks) for image, masks in truth_masks.items()}
    count = sum(map(len, truth_masks.values()))
    hits = []
    for image, mask, _ in sorted(results, key=lambda result: -result[2]):
        ious = [
            np.count_nonzero(mask & one) / np.count_nonzero(mask | one)
            for one in free.get(image, [])
        ]
        hits.append(bool(ious) and max(ious) >= threshold)
        if hits[-1]:
            free[image].pop(int(np.argmax(ious)))
    total = 0.0
    for recall in np.linspace(0, 1, 101):
        reached = [
            sum(hits[: n + 1]) / (n + 1)
            for n in range(len(hits))
            if sum(hits[: n + 1]) / count >= recall
        ]
        total += max(reached, default=0)
    return total / 101


def make_up(seed, images=(7, 8, 9), categories=(1, 18), per_image=4):
    random = np.random.default_rng(seed)
    objects, results = [], []
    for image in images:
        for category in categories:
            for _ in range(per_image):
                side = random.integers(10, 90, 2)
                corner = (random.random(2) * (np.array([WIDTH, HEIGHT]) - side)).astype(int)
                box = np.concatenate([corner, side])
                objects.append((image, category, tuple(box.tolist()), 0))
                for _ in range(2):
                    shifted = np.maximum(box + random.integers(-6, 7, 4), 1)
                    score = float(random.random())
                    results.append(make_result(image, category, tuple(shifted.tolist()), score))
    return objects, results


def slow_precisions(objects, results, category, thresholds):
    truth_masks, own = {}, []
    for image, of, box, _ in objects:
        if of == category:
            truth_masks.setdefault(image, []).append(rectangle(*box))
    for result in results:
        if result["category_id"] == category:
            own.append((result["image_id"], decode_rle(result["segmentation"]), result["score"]))
    return [slow_precision(truth_masks, own, threshold) for threshold in thresholds]


@pytest.mark.parametrize("seed", [0, 1])
def test_ap_agrees_with_a_plain_loop(tmp_path, seed):
    objects, results = make_up(seed)
    truth = write_truth(tmp_path, objects, images=(7, 8, 9))
    found = average_precisions(truth, results, [9, 7, 8])
    thresholds = np.arange(50, 100, 5) / 100
    slow = np.mean([slow_precisions(objects, results, c, thresholds) for c in (1, 18)], axis=0)
    assert found["AP"] == pytest.approx(slow.mean(), abs=1e-6)
    assert found["AP50"] == pytest.approx(slow[0], abs=1e-6)
    assert found["AP75"] == pytest.approx(slow[5], abs=1e-6)
    assert 0.1 < slow[5] < slow[0] < 1


def write_lvis(folder, objects, negative=(), not_exhaustive=()):
    extra = {1: {"frequency": "f"}, 18: {"frequency": "c"}, 30: {"frequency": "r"}}
    more = {
        "neg_category_ids": list(negative),
        "not_exhaustive_category_ids": list(not_exhaustive),
    }
    return write_truth(folder, objects, (7, 8, 9), (1, 18, 30), more, extra)


def test_lvis_by_frequency_agrees_with_a_plain_loop(tmp_path):
    objects, results = make_up(3)
    truth = write_lvis(tmp_path, objects)
    found = average_precisions(truth, results, [7, 8, 9])
    thresholds = np.arange(50, 100, 5) / 100
    frequent, common = (
        np.mean(slow_precisions(objects, results, category, thresholds)) for category in (1, 18)
    )
    assert found["frequent"] == pytest.approx(frequent, abs=1e-6)
    assert found["common"] == pytest.approx(common, abs=1e-6)
    assert found["AP"] == pytest.approx((frequent + common) / 2, abs=1e-6)
    assert found["rare"] is None


def test_lvis_counts_only_what_was_searched_for(tmp_path):
    box, elsewhere = (10, 20, 30, 40), (80, 20, 30, 40)
    results = [
        make_result(8, 1, elsewhere, 0.9),  # a category that image 8 doesn't have
        make_result(7, 1, elsewhere, 0.8),  # nothing there
        make_result(7, 1, box, 0.7),
    ]
    objects = [(7, 1, box, 0)]
    for settings, expected in [
        ({}, 1 / 2),  # image 8 wasn't searched, so the first result doesn't count
        ({"negative": [1]}, 1 / 3),
        ({"not_exhaustive": [1]}, 1.0),  # image 7 may have more of these
    ]:
        found = average_precisions(write_lvis(tmp_path, objects, **settings), results, [7, 8, 9])
        assert found["AP"] == found["frequent"] == pytest.approx(expected)


def test_lvis_looks_at_the_best_of_an_image(tmp_path):
    box = (10, 20, 30, 40)
    truth = write_lvis(tmp_path, [(7, 1, box, 0)], negative=[18])
    late = make_result(7, 1, box, 0.1)
    others = [make_result(7, 18, (80, 20, 30, 40), 0.9)] * LVIS_MOST
    assert average_precisions(truth, [late, *others[1:]], [7])["AP"] == 1
    assert average_precisions(truth, [late, *others], [7])["AP"] == 0


def test_other_truth_than_measured(tmp_path):
    truth = write_truth(tmp_path, OBJECTS)
    with pytest.raises(InputError, match="has 1 of the 2 images that were measured"):
        average_precisions(truth, [], [7, 99])
    with pytest.raises(InputError, match="has 0 of the 0 images"):
        average_precisions(truth, [], [])
    turned = make_result(7, 1, (1, 2, 3, 4), 0.5)
    turned["segmentation"] = {"size": [WIDTH, HEIGHT], "counts": turned["segmentation"]["counts"]}
    with pytest.raises(InputError, match=r"image 7 has \(height, width\) \[160, 120\], but"):
        average_precisions(truth, [turned], [7])
    without_area = truth._replace(annotations=[{**truth.annotations[0]}])
    del without_area.annotations[0]["area"]
    assert average_precisions(without_area, [], [7])["AP"] == 0


def test_ids_that_are_texts_give_the_same_precision(tmp_path):
    truth = write_truth(tmp_path, OBJECTS)
    results = [
        make_result(image, category, box, 0.5)
        for image, category, box, crowd in OBJECTS
        if not crowd
    ]
    expected = average_precisions(truth, results, [7, 8])
    named = truth._replace(
        images=[image | {"id": f"image {image['id']}"} for image in truth.images],
        annotations=[
            one
            | {"image_id": f"image {one['image_id']}", "category_id": f"no. {one['category_id']}"}
            for one in truth.annotations
        ],
        categories=[{"id": f"no. {category['id']}"} for category in truth.categories],
    )
    renamed = [
        one | {"image_id": f"image {one['image_id']}", "category_id": f"no. {one['category_id']}"}
        for one in results
    ]
    assert average_precisions(named, renamed, ["image 7", "image 8"]) == expected
    assert expected["AP"] == pytest.approx(1)
