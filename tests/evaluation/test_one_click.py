import numpy as np
import pytest

from sam_jax import Model, SamPredictor
from sam_jax.data.example import Example
from sam_jax.evaluation.classical import CLASSICAL
from sam_jax.evaluation.one_click import (
    choose_masks,
    find_centre,
    mask_iou,
    measure_clicks,
    sam_method,
)
from sam_jax.models import TINY, Sam, init_variables


def photo_of_squares():
    masks = np.zeros((3, 40, 70), bool)
    masks[0, 5:25, 10:30] = masks[1, 10:35, 40:65] = masks[2, 0:3, 0:3] = True
    image = np.full((40, 70, 3), 20, np.uint8)
    image[masks[0]], image[masks[1]] = (220, 200, 30), (150, 220, 255)
    return Example("squares", image, list(masks))


class OnePhoto:
    name = "one photo"

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return photo_of_squares()


@pytest.mark.parametrize(
    ("box", "centre"),
    [
        (np.s_[2:7, 3:12], [5, 4]),  # any of columns 5 to 9: the first
        (np.s_[0:9, 0:5], [2, 2]),  # the photo's edge is a border
        (np.s_[8:9, 11:12], [11, 8]),
    ],
)
def test_the_centre_is_farthest_from_the_border(box, centre):
    mask = np.zeros((9, 12), bool)
    mask[box] = True
    np.testing.assert_array_equal(find_centre(mask), centre)


def test_iou():
    one, other, nothing = np.zeros((3, 2, 5), bool)
    one[:, :3], other[:, 2:] = True, True
    assert mask_iou(one, other) == 2 / 10
    assert mask_iou(one, nothing) == 0
    assert mask_iou(nothing, nothing) == 1


def test_choice_of_masks():
    example = photo_of_squares()
    assert [i for i, _ in choose_masks(example, 0, most=9, min_area=10, seed=0)] == [0, 1]
    draws = {choose_masks(example, record, 1, 1, seed=0)[0][0] for record in range(20)}
    assert draws == {0, 1, 2}


def test_trusted_and_best():
    example = photo_of_squares()

    def method(image, points):
        for truth in example.masks[:2]:
            half = truth.copy()
            half[: np.flatnonzero(truth.any(axis=1))[0] + 5] = False
            yield np.stack([truth, half]), np.array([0.1, 0.9])

    clicks = list(measure_clicks(method, OnePhoto(), [0], masks_per_image=9, min_area=10))
    assert [click.best_iou for click in clicks] == [1, 1]
    assert [click.trusted_iou for click in clicks] == [15 / 20, 20 / 25]
    assert [click.point for click in clicks] == [(19, 14), (52, 22)]


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_methods_find_plain_squares(name):
    clicks = list(measure_clicks(CLASSICAL[name], OnePhoto(), [0], masks_per_image=9, min_area=10))
    at_least = {"disc": 0.3, "Felzenszwalb": 0.6}.get(name, 0.99)
    assert min(click.best_iou for click in clicks) > at_least


@pytest.mark.slow
def test_segment_anything_is_a_method():
    predictor = SamPredictor(Model(Sam(TINY), init_variables(TINY, seed=0)))
    clicks = list(
        measure_clicks(sam_method(predictor), OnePhoto(), [0], masks_per_image=9, min_area=10)
    )
    points = np.array([click.point for click in clicks])[:, None]
    labels = np.ones(points.shape[:2], int)
    masks, iou, _ = predictor.predict_batch(points, labels)
    truth = photo_of_squares().masks
    for click, answer, trust in zip(clicks, masks, iou, strict=True):
        ious = [mask_iou(mask, truth[click.mask]) for mask in answer]
        assert click.best_iou == max(ious)
        assert click.trusted_iou == ious[trust.argmax()]
