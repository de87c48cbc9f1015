"""The functions around automatic masks, each against the official one: tensors in and out, and arrays."""

import numpy as np
import pytest
import torch

from experiments.official import segment_anything
from sam_jax.segment_anything.tensors import HostArray
from sam_jax.segment_anything.utils import amg
from sam_jax.types import InputError
from tests.segment_anything.conftest import assert_alike

official = segment_anything.utils.amg

DRAW = np.random.default_rng(0)
LOGITS = torch.from_numpy(DRAW.normal(0, 2, (5, 9, 14)).astype(np.float32))
LOGITS[3] = -5  # a mask without pixels
MASKS = LOGITS > 0.5
BOXES = torch.from_numpy(DRAW.integers(0, 60, (40, 4)))
CROP, IMAGE = [10, 20, 90, 70], [0, 0, 90, 100]
CALLS = {
    "is_box_near_crop_edge": (BOXES, CROP, IMAGE),
    "box_xyxy_to_xywh": (BOXES[0],),
    "calculate_stability_score": (LOGITS, 0.5, 0.7),
    "uncrop_boxes_xyxy": (BOXES, CROP),
    "uncrop_points": (BOXES[:, :2], CROP),
    "uncrop_masks": (MASKS, [3, 4, 17, 13], 20, 31),
    "batched_mask_to_box": (MASKS,),
}


@pytest.mark.parametrize(("name", "arguments"), CALLS.items(), ids=CALLS)
def test_functions_of_tensors(name, arguments):
    expected = getattr(official, name)(*arguments)
    assert_alike(expected, getattr(amg, name)(*arguments))
    arrays = [x.numpy() if isinstance(x, torch.Tensor) else x for x in arguments]
    of_arrays = getattr(amg, name)(*arrays)
    assert isinstance(of_arrays, np.ndarray)
    assert of_arrays.dtype == expected.numpy().dtype
    np.testing.assert_array_equal(of_arrays, expected.numpy())


def test_boxes_of_stacks_of_masks_and_of_none():
    stacks = MASKS[:4].reshape(2, 2, 9, 14)
    assert_alike(official.batched_mask_to_box(stacks), amg.batched_mask_to_box(stacks))
    assert_alike(official.batched_mask_to_box(MASKS[0]), amg.batched_mask_to_box(MASKS[0]))
    assert_alike(official.batched_mask_to_box(MASKS[:0]), amg.batched_mask_to_box(MASKS[:0]))


def test_run_lengths():
    rles = amg.mask_to_rle_pytorch(MASKS)
    assert rles == official.mask_to_rle_pytorch(MASKS)
    for rle, mask in zip(rles, MASKS, strict=True):
        assert_alike(official.rle_to_mask(rle), amg.rle_to_mask(rle))
        assert amg.area_from_rle(rle) == mask.sum()
        assert amg.coco_encode_rle(rle) == official.coco_encode_rle(rle)


def test_grids_crops_and_batches():
    for theirs, mine in zip(
        official.build_all_layer_point_grids(9, 2, 2),
        amg.build_all_layer_point_grids(9, 2, 2),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)
    expected = official.generate_crop_boxes((123, 456), 2, 0.3)
    assert amg.generate_crop_boxes((123, 456), 2, 0.3) == expected
    batches = list(amg.batch_iterator(4, list(range(10)), "abcdefghij"))
    assert batches == list(official.batch_iterator(4, list(range(10)), "abcdefghij"))
    with pytest.raises(InputError, match=r"one length are needed, not \[2, 3\]"):
        list(amg.batch_iterator(4, [1, 2], [1, 2, 3]))


@pytest.mark.parametrize("mode", ["holes", "islands"])
def test_small_regions(mode):
    mask = DRAW.random((20, 31)) > 0.6
    assert_alike(
        official.remove_small_regions(mask, 3, mode), amg.remove_small_regions(mask, 3, mode)
    )
    with pytest.raises(InputError, match="holes"):
        amg.remove_small_regions(mask, 3, "lakes")


def test_mask_data():
    tables = []
    for kind in (official.MaskData, amg.MaskData):
        table = kind()
        for _ in range(2):
            table.cat(kind(rows=list(range(5)), boxes=BOXES[:5], scores=LOGITS[:, 0, 0].numpy()))
        table.filter(torch.tensor([True, False] * 5))
        table.filter(torch.tensor([3, 0, 4]))
        table["masks"] = MASKS[:3]
        del table["boxes"]
        table.to_numpy()
        tables.append(dict(table.items()))
    assert_alike(*tables)
    with pytest.raises(InputError, match="a list, an array or a tensor, not int"):
        amg.MaskData(rows=3)


def test_arrays_know_the_way_to_numpy():
    scores = amg.calculate_stability_score(LOGITS.numpy(), 0, 1)
    assert isinstance(scores, HostArray)
    assert type(scores.detach().cpu().numpy()) is np.ndarray
