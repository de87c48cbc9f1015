"""Every source tells what is left out of it, and the loader what reading had to choose."""

import itertools

import numpy as np
from PIL import Image

from sam_jax.data.bsds500 import Bsds500Boundaries, Bsds500Folder
from sam_jax.data.label_maps import LabelMapFolder
from sam_jax.data.left_out import list_left_out, summarise_reasons
from sam_jax.data.loader import Ingredient, Loader, LoaderConfig
from sam_jax.data.sa1b import Sa1bFolder
from sam_jax.data.subset import hold_out
from sam_jax.data.synthetic import SyntheticSource

from .conftest import paint_photo, write_sa1b_record


def test_photos_without_truth(tmp_path):
    for name in ("a", "b", "c"):
        write_sa1b_record(tmp_path, name, 1, [np.ones((30, 44), bool)])
    (tmp_path / "b.json").unlink()
    source = Sa1bFolder(tmp_path)
    (reason,) = list_left_out(source)
    assert reason.startswith(str(tmp_path / "b.jpg"))
    assert list_left_out(hold_out(source, 2)[0]) == [reason]
    (tmp_path / "none").mkdir()
    assert len(list_left_out(LabelMapFolder(tmp_path, tmp_path / "none"))) == 3
    assert len(list_left_out(Bsds500Folder(tmp_path, tmp_path / "none"))) == 3
    assert len(Bsds500Boundaries(tmp_path, tmp_path / "none").list_left_out()) == 3
    assert list_left_out(SyntheticSource()) == []


def test_of_many_reasons_the_first_are_named():
    assert summarise_reasons([f"{k}.jpg" for k in range(7)]) == (
        "7 (0.jpg; 1.jpg; 2.jpg; 3.jpg; 4.jpg; and 2 more)"
    )


def test_notes_come_through_the_loader(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for name, soft in (("hard", False), ("soft", True)):
        Image.fromarray(paint_photo(1)).save(tmp_path / "images" / f"{name}.png")
        mask = np.zeros((30, 44), np.uint8)
        mask[5:20, 8:30] = 255
        if soft:
            mask[5, 8:30] = 100
        Image.fromarray(mask).save(tmp_path / "labels" / f"{name}.png")
    source = LabelMapFolder(tmp_path / "images", tmp_path / "labels")
    config = LoaderConfig(frame=(32, 48), batch_size=2, num_masks=2)
    loader = Loader([Ingredient(source)], config)
    for batch in itertools.islice(loader, 3):
        assert batch.valid.sum() == 2  # one object each, not one for every level
    loader.close()
    (note,) = loader.notes
    assert "soft.png has soft edges" in note
    assert loader.notes[note] == 3
    assert loader.skipped == {}
