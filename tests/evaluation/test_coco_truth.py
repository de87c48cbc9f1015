import json

import pytest

from sam_jax import InputError
from sam_jax.evaluation.coco_truth import read_truth

from .rectangles import OBJECTS, write_truth


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("categories"), "annotation number 0 .of 4 like it"),
        (lambda d: d["annotations"][0].pop("image_id"), "is not in COCO's format"),
        (lambda d: d["images"][0].pop("width"), "each image needs `id`, `file_name`"),
        (lambda d: d.update(annotations=[]), "has nothing to measure against"),
        (lambda d: d["annotations"][2].update(category_id=5), "annotation number 2 .of 1 like it"),
        (lambda d: d["annotations"][1].update(image_id=5), "annotation number 1 .of 1 like it"),
    ],
)
def test_bad_files_of_truth(tmp_path, change, message):
    path = write_truth(tmp_path, OBJECTS).path
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        read_truth(path)
