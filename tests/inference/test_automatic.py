"""The automatic generator by itself; tests/parity compares it with the official one."""

import jax
import numpy as np
import pytest
import skimage.data
from PIL import Image

from sam_jax import SamAutomaticMaskGenerator, SamPredictor, load
from sam_jax.inference import automatic
from sam_jax.inference.automatic import SA1B
from sam_jax.ops.boxes import mask_to_box_xywh
from sam_jax.ops.rle import decode_rle
from sam_jax.types import InputError

LENIENT = {"points_per_side": 8, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.3}
PHOTO = skimage.data.coffee()[::2, ::2][:, :250]


@pytest.fixture(scope="module")
def model():
    return load(image_size=128)


@pytest.fixture(scope="module")
def records(model):
    return SamAutomaticMaskGenerator(model, **LENIENT).generate(PHOTO)


def test_records_describe_their_masks(records):
    assert len(records) >= 3
    height, width, _ = PHOTO.shape
    for record in records:
        mask = record["segmentation"]
        assert mask.shape == (height, width)
        assert mask.dtype == bool
        assert record["area"] == mask.sum() > 0
        assert record["bbox"] == mask_to_box_xywh(mask).tolist()
        assert 0.3 < record["predicted_iou"] <= 1.2
        assert 0.3 <= record["stability_score"] <= 1
        assert record["crop_box"] == [0, 0, width, height]
        ((x, y),) = record["point_coords"]
        assert (x * 8 / width) % 1 == (y * 8 / height) % 1 == 0.5
    scores = [record["predicted_iou"] for record in records]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("mode", ["uncompressed_rle", "coco_rle"])
def test_output_modes_say_the_same(model, records, mode):
    encoded = SamAutomaticMaskGenerator(model, **LENIENT, output_mode=mode).generate(PHOTO)
    assert len(encoded) == len(records)
    for one, other in zip(encoded, records, strict=True):
        rle = one["segmentation"]
        assert isinstance(rle["counts"], str if mode == "coco_rle" else list)
        np.testing.assert_array_equal(decode_rle(rle), other["segmentation"])
        assert {**one, "segmentation": 0} == {**other, "segmentation": 0}


@pytest.mark.parametrize("kind", [Image.fromarray, jax.numpy.asarray])
def test_takes_images_that_set_image_takes(model, records, kind):
    found = SamAutomaticMaskGenerator(model, **LENIENT).generate(kind(PHOTO))
    assert [record["bbox"] for record in found] == [record["bbox"] for record in records]
    predictor = SamPredictor(model)
    predictor.set_image(kind(PHOTO))
    assert predictor.original_size == (200, 250)


@pytest.mark.parametrize("held", [automatic.HELD_BYTES, 0])
def test_again_gives_the_same_bits(model, records, monkeypatch, held):
    monkeypatch.setattr(automatic, "HELD_BYTES", held)
    again = SamAutomaticMaskGenerator(model, **LENIENT).generate(PHOTO)
    assert len(again) == len(records)
    for one, other in zip(again, records, strict=True):
        np.testing.assert_array_equal(one["segmentation"], other["segmentation"])
        assert {**one, "segmentation": 0} == {**other, "segmentation": 0}


def test_points_at_once_make_no_difference(model, records):
    other = SamAutomaticMaskGenerator(model, **LENIENT, points_per_batch=24).generate(PHOTO)
    assert [r["point_coords"] for r in other] == [r["point_coords"] for r in records]
    assert [r["area"] for r in other] == pytest.approx([r["area"] for r in records], rel=1e-3)


CROPPED = {**LENIENT, "points_per_side": 4, "pred_iou_thresh": 0.1, "crop_n_layers": 1}


@pytest.fixture(scope="module")
def alone(model):
    """Records of a photo and of a part of it."""
    generator = SamAutomaticMaskGenerator(model, **CROPPED)
    return [generator.generate(photo) for photo in (PHOTO, PHOTO[50:150, :120])]


def test_images_together_give_what_each_gives_alone(model, alone):
    """Ten views by threes: a batch has views of both photos, and the last one is filled up."""
    photos = [PHOTO, PHOTO[50:150, :120]]
    generator = SamAutomaticMaskGenerator(model, **CROPPED, images_per_batch=3)
    assert min(map(len, alone)) >= 3
    of_photos = zip(alone, generator.generate_many(photos), strict=True)
    for expected, together in of_photos:
        assert [r["point_coords"] for r in together] == [r["point_coords"] for r in expected]
        assert [r["area"] for r in together] == pytest.approx(
            [r["area"] for r in expected], rel=1e-3, abs=2
        )


def test_one_mask_for_each_point(model):
    every = {"points_per_side": 2, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    generator = SamAutomaticMaskGenerator(
        model, **every, box_nms_thresh=1.0, multimask_output=False
    )
    points = [tuple(*record["point_coords"]) for record in generator.generate(PHOTO)]
    assert len(points) == len(set(points)) == 4


def test_nothing_compiles_for_a_second_photo_of_similar_size(model, records):
    generator = SamAutomaticMaskGenerator(model, **LENIENT)
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        compiled = []
        patch.setattr("jax._src.interpreters.pxla.logger.log", lambda *a, **k: compiled.append(a))
        generator.generate(PHOTO[:-9, :-30])
    assert not [c for c in compiled if "Compiling" in str(c)]


@pytest.mark.parametrize("crop_n_layers", [0, 1])
def test_nothing_found(model, crop_n_layers):
    generator = SamAutomaticMaskGenerator(
        model, points_per_side=4, pred_iou_thresh=2.0, crop_n_layers=crop_n_layers,
        min_mask_region_area=10, max_area_share=0.9,
    )  # fmt: skip
    assert generator.generate(PHOTO) == []


def test_masks_of_nearly_the_whole_photo_can_be_dropped(model):
    every = {"points_per_side": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}

    def shares(**more):
        records = SamAutomaticMaskGenerator(model, **every, **more).generate(PHOTO)
        return [record["area"] / PHOTO[:, :, 0].size for record in records]

    found = shares()
    limit = float(np.median(found))
    smaller = shares(max_area_share=limit)
    assert smaller == [share for share in found if share < limit]
    assert 0 < len(smaller) < len(found)


def test_the_preset_of_sa1b(model):
    records = SamAutomaticMaskGenerator(
        model, **{**SA1B, "points_per_side": 8, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.1}
    ).generate(PHOTO)  # fmt: skip
    boxes = {tuple(record["crop_box"]) for record in records}
    assert any(box[2] < PHOTO.shape[1] / 2 for box in boxes), "no mask from the smallest crops"
    assert max(record["area"] for record in records) < 0.95 * PHOTO[:, :, 0].size


@pytest.mark.parametrize("crop_n_layers", [0, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 100), (40, 3), (6, 6)])
def test_odd_sizes(model, size, crop_n_layers):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    generator = SamAutomaticMaskGenerator(
        model, points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0,
        crop_n_layers=crop_n_layers,
    )  # fmt: skip
    for record in generator.generate(pixels):
        assert record["segmentation"].shape == size


def test_a_photo_too_thin_for_the_model_is_refused(model):
    with pytest.raises(InputError, match="thin"):
        SamAutomaticMaskGenerator(model).generate(np.zeros((1, 2000, 3), np.uint8))


@pytest.mark.slow
def test_a_photo_of_48_megapixels(model):
    photo = np.zeros((6000, 8000, 3), np.uint8)
    photo[1500:4200, 2000:6500] = (200, 60, 30)
    generator = SamAutomaticMaskGenerator(
        model, points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0,
        multimask_output=False,
    )  # fmt: skip
    records = generator.generate(photo)
    assert len(records) >= 1
    assert all(record["segmentation"].shape == (6000, 8000) for record in records)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points_per_side": None}, "points_per_side or point_grids"),
        ({"point_grids": [np.zeros((1, 2))]}, "points_per_side or point_grids"),
        ({"points_per_side": None, "point_grids": [np.zeros((1, 2))], "crop_n_layers": 1}, "2 point_grids"),
        ({"points_per_side": None, "point_grids": [np.zeros((0, 2))]}, "every layer needs points"),
        ({"points_per_side": 0}, "at least 1, not 0"),
        ({"points_per_side": 2, "crop_n_layers": 1, "crop_n_points_downscale_factor": 4}, "every layer needs points"),
        ({"points_per_batch": 0}, "at least 1"),
        ({"output_mode": "png"}, "binary_mask, uncompressed_rle or coco_rle"),
    ],
)  # fmt: skip
def test_arguments_that_contradict_each_other(model, arguments, message):
    with pytest.raises(InputError, match=message):
        SamAutomaticMaskGenerator(model, **arguments)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3)), np.zeros((0, 5, 3), np.uint8)],
    ids=["grey", "with alpha", "floats", "empty"],
)  # fmt: skip
def test_what_is_no_image(model, image):
    with pytest.raises(InputError, match="height x width x 3 bytes"):
        SamAutomaticMaskGenerator(model).generate(image)
