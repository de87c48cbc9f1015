import jax
import numpy as np
import pytest

from sam_jax.data.example import Example, RecordError
from sam_jax.evaluation import box_scores
from sam_jax.evaluation.box_scores import encode_rectangle, list_true_boxes, score_boxes
from sam_jax.inference.object_boxes import ObjectBoxes
from sam_jax.models import Detector, DetectorConfig, Model, init_detector, init_variables
from sam_jax.ops.rle import decode_rle
from tests.training.conftest import MINIATURE

SIZE = (20, 30)


@pytest.mark.parametrize(
    "box", [(3, 2, 9, 7), (0, 0, 30, 20), (0, 5, 4, 20), (26, 0, 30, 20), (12.4, 3.6, 13.6, 4.4)]
)
def test_a_rectangle_has_the_pixels_between_its_sides(box):
    rle, area = encode_rectangle(box, SIZE)
    x0, y0, x1, y1 = np.round(box).astype(int)
    expected = np.zeros(SIZE, bool)
    expected[y0:y1, x0:x1] = True
    np.testing.assert_array_equal(decode_rle(rle), expected)
    assert area == expected.sum()


@pytest.mark.parametrize("box", [(3, 3, 3, 8), (30, 0, 40, 9), (-9, -9, 0, 0)])
def test_a_rectangle_outside_the_photo_is_empty(box):
    rle, area = encode_rectangle(box, SIZE)
    assert area == 0
    assert not decode_rle(rle).any()


class Photos:
    """A photo with two objects, one that cannot be read, and one without objects."""

    name = "photos"

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 1:
            raise RecordError("damaged")
        masks = np.zeros((2 if index == 0 else 0, *SIZE), bool)
        if index == 0:
            masks[0, 2:8, 3:11] = masks[1, 10:18, 14:29] = True
            masks[0, 2, 3] = False  # no rectangle
        return Example(f"photo {index}", np.zeros((*SIZE, 3), np.uint8), list(masks))


def test_true_boxes_reach_the_outer_edges_of_masks():
    assert list_true_boxes(Photos()[0]) == [(3, 2, 11, 8), (14, 10, 29, 18)]


def test_ap_and_ar_of_known_boxes(monkeypatch):
    """What the detector finds is given, since its weights are random."""
    model = Model(MINIATURE, init_variables(MINIATURE))
    config = DetectorConfig(embedding_width=16, width=4, depth=1)
    detector = Detector(config, init_detector(config))
    exact, wrong = [3, 2, 11, 8], [20, 0, 29, 6]
    near = [14, 10, 29, 16]  # IoU 6/8 with the second object

    def find(boxes, scores):
        answers = iter([(boxes, scores), ([], [])])

        def answer(*_):
            some, sure = next(answers)
            return ObjectBoxes(np.array(some, float).reshape(-1, 4), np.array(sure, float))

        monkeypatch.setattr(box_scores, "find_objects", answer)
        return score_boxes(model, detector, Photos())

    scores = find([exact, near, wrong], [0.9, 0.8, 0.7])
    assert (scores.photos, scores.objects) == (2, 2)
    assert scores.precision["AP50"] == pytest.approx(1.0)
    # The second object is found at 0.5, ..., 0.75, and not above.
    assert scores.recall == {limit: pytest.approx(0.8) for limit in (10, 100, 1000)}
    worse = find([exact, near, wrong], [0.3, 0.2, 0.9])
    assert worse.precision["AP50"] < 0.7
    assert worse.recall == scores.recall
    assert find([], []).precision["AP"] == 0


def test_a_random_detector_finds_boxes_in_the_photo():
    model = Model(MINIATURE, init_variables(MINIATURE))
    config = DetectorConfig(embedding_width=16, width=4, depth=1)
    detector = Detector(config, jax.tree.map(lambda leaf: 4 * leaf, init_detector(config)))
    scores = score_boxes(model, detector, Photos())
    assert scores.objects == 2
    assert 0 <= scores.precision["AP"] <= 1
