import json

import numpy as np
import pytest
from PIL import Image

from sam_jax.evaluation.referring import Referred, answer_all, list_referred, summarise
from sam_jax.types import InputError


class Listener:
    """Stands for a predictor: answers with fixed masks, and writes down what it was asked."""

    def __init__(self, masks, iou):
        self.masks, self.iou, self.asked, self.images = masks, iou, [], 0

    def set_image(self, image):
        self.images += 1

    def predict(self, *, point_coords, point_labels, text):
        self.asked.append((None if point_coords is None else point_coords.tolist(), text))
        return self.masks, self.iou, None


def boxes(*places, size=(8, 12)):
    masks = np.zeros((len(places), *size), bool)
    for mask, (rows, columns) in zip(masks, places, strict=True):
        mask[slice(*rows), slice(*columns)] = True
    return masks


def test_answers_are_compared_with_all_objects():
    objects = boxes(((0, 4), (0, 4)), ((5, 8), (6, 12)))
    answers = boxes(((0, 8), (0, 12)), ((0, 4), (0, 2)), ((0, 0), (0, 0)))
    listener = Listener(answers, np.array([0.2, 0.9, 0.1]))
    image = np.zeros((8, 12, 3), np.uint8)
    referred = [Referred("a", image, "this", objects, 0), Referred("a", image, "that", objects, 1)]
    found = list(answer_all(listener, referred))
    assert listener.images == 1
    (_, first), (_, second) = found
    assert [answer.iou for answer in first] == [0.5] * 3
    assert [answer.iou for answer in second] == [0.0] * 3
    assert [answer.is_right for answer in first + second] == [True] * 3 + [False] * 3
    (none, text), (point, with_point), (again, without) = listener.asked[3:]
    assert (none, text, with_point, without) == (None, "that", "that", None)
    assert point == again
    assert objects[1, int(point[0][1]), int(point[0][0])]
    scores = summarise([first[0], second[0]])
    assert scores == (2, 0.25, 8 / (16 + 8 + 18), 0.5, 0.5)


@pytest.fixture
def refs(tmp_path):
    """Two photos with three objects, a crowd, and phrases about two of the objects."""

    def entry(number, image, box, **more):
        x, y, w, h = box
        outline = [x, y, x + w, y, x + w, y + h, x, y + h]
        return {"id": number, "image_id": image, "segmentation": [outline], "bbox": box, **more}

    images = [{"id": k, "file_name": f"{k}.png", "height": 8, "width": 12} for k in (1, 2)]
    for image in images:
        Image.fromarray(np.full((8, 12, 3), 9 * image["id"], np.uint8)).save(
            tmp_path / image["file_name"]
        )
    document = {
        "images": images,
        "annotations": [
            entry(10, 2, [0, 0, 4, 4]),
            entry(11, 1, [6, 5, 6, 3], iscrowd=0),
            entry(12, 2, [6, 5, 6, 3]),
        ],
        "refs": [
            {"ann_id": 12, "sentences": [{"sent": "lower right"}, {"sent": "the wide one"}]},
            {"ann_id": 11, "sentences": [{"sent": "only one"}]},
        ],
    }
    path = tmp_path / "refs.json"
    path.write_text(json.dumps(document))
    return path, document


def test_referring_expressions_are_read(refs):
    found = list(list_referred(refs[0]))
    assert [one.phrase for one in found] == ["lower right", "the wide one", "only one"]
    assert [one.answer for one in found] == [1, 1, 0]
    for one, brightness in zip(found, (18, 18, 9), strict=True):
        assert one.image.shape == (8, 12, 3)
        assert (one.image == brightness).all()
        np.testing.assert_array_equal(one.masks[one.answer], boxes(((5, 8), (6, 12)))[0])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"refs": []}, "has no referring expressions: it needs a list `refs`"),
        ({"refs": [{"ann_id": 99, "sentences": []}]}, "has an object 99 that `annotations` lacks"),
        ({"refs": [{"ann_id": 10, "sentences": ["no"]}]}, "is no entry of `refs`"),
    ],
)
def test_bad_lists_are_refused(refs, broken, message):
    path, document = refs
    path.write_text(json.dumps(document | broken))
    with pytest.raises(InputError, match=message):
        list(list_referred(path))
