import numpy as np
import pytest

from sam_jax.data.example import RecordError
from sam_jax.data.sa1b import Sa1bFolder, read_sa1b_record
from sam_jax.types import InputError

from .conftest import NO_HINTS, change_json, paint_masks, write_sa1b_record


def test_photos_and_masks_of_all_folders(sa1b_folder):
    source = Sa1bFolder(sa1b_folder)
    assert len(source) == 6
    assert source.name == str(sa1b_folder)
    for example in (source[i] for i in range(6)):
        number = int(example.name[-5])
        assert example.name == str(sa1b_folder / f"part_{number % 2}" / f"sa_{number}.jpg")
        assert example.image.shape == (30, 44, 3)
        for i, mask in enumerate(paint_masks(number, 2 + number)):
            np.testing.assert_array_equal(example.masks[i], mask)
    with pytest.raises(IndexError):
        source[6]


def test_masks_stay_encoded_until_they_are_asked_for(tmp_path):
    photo = write_sa1b_record(tmp_path, "sa_1", 1, paint_masks(1, 2))
    change_json(photo, lambda document: document["annotations"][1]["segmentation"].update(size=[1]))
    example = Sa1bFolder(tmp_path)[0]
    assert example.masks[0].any()
    with pytest.raises(RecordError, match="a mask has 1 axes"):
        example.masks[1]


@pytest.mark.parametrize("record", ["no_json", "json_cut", "json_alien", "photo_cut", "photo_text"])
def test_bad_records_say_what_is_wrong(spoiled_folder, record):
    folder, messages = spoiled_folder
    with pytest.raises(RecordError) as caught:
        read_sa1b_record(folder / f"{record}.jpg", NO_HINTS)
    assert messages[record] in str(caught.value)
    assert record in str(caught.value)


@pytest.mark.parametrize(
    "document", ["null", '{"annotations": {}}', '{"annotations": [{"bbox": [1, 2, 3, 4]}]}']
)
def test_json_of_another_form(tmp_path, document):
    photo = write_sa1b_record(tmp_path, "sa_1", 1, [])
    photo.with_suffix(".json").write_text(document)
    with pytest.raises(RecordError, match="it needs a list `annotations`"):
        read_sa1b_record(photo, NO_HINTS)


def test_folders_without_photos(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        Sa1bFolder(tmp_path / "nowhere")
    (tmp_path / ".hidden.jpg").touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="no photos"):
        Sa1bFolder(tmp_path)
