import numpy as np
import pytest

from sam_jax import SamPredictor
from sam_jax.data.example import Example
from sam_jax.evaluation.points.annotator import Clicks
from sam_jax.evaluation.points.classical import CLASSICAL_SEGMENTERS
from sam_jax.evaluation.points.segmenters import (
    POINT_METHODS,
    ClickSegmenter,
    SamClickSegmenter,
    point_methods,
)
from sam_jax.evaluation.points.sessions import PointsConfig, click_objects
from sam_jax.types import InputError

SIZE = (12, 17)


class Predictor(SamPredictor):
    """Answers with masks of the prompt's first column, and notes what it was asked."""

    def __init__(self):
        self.calls = []

    def set_image(self, image):
        self.image = image

    def predict_batch(self, point_coords, point_labels, mask_inputs, multimask_output):
        self.calls.append((point_coords, point_labels, mask_inputs, multimask_output))
        n, m = len(point_coords), 3 if multimask_output else 1
        masks = np.zeros((n, m, *SIZE), bool)
        for i, points in enumerate(point_coords.astype(int)):
            masks[i, :, :, points[0, 0]] = True
        low = np.arange(m)[:, None, None] + 10.0 * point_coords[:, :1, :1, None]
        return masks, np.tile([0.2, 0.5, 0.1][:m], (n, 1)), np.broadcast_to(low, (n, m, 3, 4))


def click(x, *labels, memory=None):
    return Clicks(np.array([[x, 1.0]] * len(labels)), np.array(labels), memory)


def test_sam_is_asked_as_it_is_trained():
    predictor = Predictor()
    method = SamClickSegmenter(predictor)
    image = np.zeros((*SIZE, 3), np.uint8)
    method.set_image(image)
    assert predictor.image is image
    first = method.answer([click(3, 1), click(5, 1)])
    (points, labels, masks, multimask) = predictor.calls.pop()
    assert points.shape == (2, 1, 2)
    assert (labels == 1).all()
    assert masks is None
    assert multimask
    assert [len(answer.memories) for answer in first] == [3, 3]

    later = method.answer(
        [
            click(3, 1, 0, memory=first[0].memories[1]),
            click(9, 1),
            click(5, 1, 1, memory=first[1].memories[2]),
        ]
    )
    points, labels, masks, multimask = predictor.calls.pop(0)
    np.testing.assert_array_equal(labels, [[1, 0], [1, 1]])
    np.testing.assert_array_equal(masks[:, 0, 0], [31, 52])
    assert not multimask
    assert predictor.calls.pop()[0][0, 0, 0] == 9
    assert [len(answer.masks) for answer in later] == [1, 3, 1]
    assert [int(np.argmax(answer.masks[0, 0])) for answer in later] == [3, 9, 5]


def test_methods_by_name():
    assert set(POINT_METHODS) == {"sam", *CLASSICAL_SEGMENTERS}
    for method in point_methods([*CLASSICAL_SEGMENTERS]):
        (segmenter,) = method.copies
        assert isinstance(segmenter, ClickSegmenter)
        assert method.settings == {}
        assert not method.has_cases


def test_methods_that_cannot_be_made():
    with pytest.raises(InputError, match="no method is called 'ritm'; there are sam, otsu,"):
        point_methods(["sam", "ritm"])
    with pytest.raises(InputError, match="'sam' needs a model"):
        point_methods(["sam"])


@pytest.mark.slow
def test_segment_anything_by_the_protocol(miniature):
    predictor = SamPredictor(miniature)
    truth = np.zeros((40, 70), bool)
    truth[5:25, 10:30] = True
    image = np.full((40, 70, 3), 20, np.uint8)
    image[truth] = (220, 200, 30)
    record = click_objects(
        SamClickSegmenter(predictor),
        Example("square", image, [truth]),
        0,
        PointsConfig(clicks=2, noc_thresholds=()),
    )
    (found,) = record["masks"]

    def iou(mask):
        return (mask & truth).sum() / (mask | truth).sum()

    points = np.array([point[:2] for point in found["points"]])
    labels = np.array([point[2] for point in found["points"]])
    predictor.set_image(image)
    masks, scores, low = predictor.predict(points[:1], labels[:1])
    np.testing.assert_allclose(found["trusted"][0], iou(masks[scores.argmax()]), atol=1e-3)
    np.testing.assert_allclose(found["oracle"][0], max(map(iou, masks)), atol=1e-3)
    masks, _, _ = predictor.predict(
        points, labels, mask_input=low[[scores.argmax()]], multimask_output=False
    )
    np.testing.assert_allclose(found["trusted"][1], iou(masks[0]), atol=1e-3)
