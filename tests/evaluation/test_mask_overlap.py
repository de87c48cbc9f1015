import numpy as np

from sam_jax.evaluation.mask_overlap import mask_iou, rle_ious
from sam_jax.ops.rle import encode_rle


def test_iou():
    one, other, nothing = np.zeros((3, 2, 5), bool)
    one[:, :3], other[:, 2:] = True, True
    assert mask_iou(one, other) == 2 / 10
    assert mask_iou(one, nothing) == 0
    assert mask_iou(nothing, nothing) == 1


def test_ious_of_run_lengths_are_those_of_the_masks():
    rng = np.random.default_rng(0)
    masks = rng.random((5, 9, 13)) < 0.4
    rles = [encode_rle(mask, compress=True) for mask in masks]
    expected = [[mask_iou(one, other) for other in masks[3:]] for one in masks[:3]]
    np.testing.assert_allclose(rle_ious(rles[:3], rles[3:]), expected, rtol=1e-12)
    assert rle_ious([], rles).shape == (0, 5)
