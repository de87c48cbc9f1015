"""Losses: pure functions of one mask's or image's answer and truth, in float32; `jax.vmap` maps them over many."""

from sam_jax.losses.binary import balanced_bce, bce, sigmoid_focal
from sam_jax.losses.boxes import (
    CentreTargets,
    box_around,
    centre_focal,
    centre_targets,
    giou_loss,
)
from sam_jax.losses.iou import hard_iou, iou_squared_error
from sam_jax.losses.multiclass import multiclass_focal, softmax_cross_entropy
from sam_jax.losses.objective import DICE_WEIGHT, FOCAL_WEIGHT, SamLosses, sam_mask_loss
from sam_jax.losses.overlap import macro_dice, micro_dice, soft_dice, soft_iou
from sam_jax.losses.pairs import sigmoid_pairs
from sam_jax.losses.points import (
    PointLosses,
    point_losses,
    sample_bilinear,
    sample_uncertain_points,
)
from sam_jax.losses.reconstruction import normalise_patches, patch_squared_error

__all__ = [
    "DICE_WEIGHT",
    "FOCAL_WEIGHT",
    "CentreTargets",
    "PointLosses",
    "SamLosses",
    "balanced_bce",
    "bce",
    "box_around",
    "centre_focal",
    "centre_targets",
    "giou_loss",
    "hard_iou",
    "iou_squared_error",
    "macro_dice",
    "micro_dice",
    "multiclass_focal",
    "normalise_patches",
    "patch_squared_error",
    "point_losses",
    "sam_mask_loss",
    "sample_bilinear",
    "sample_uncertain_points",
    "sigmoid_focal",
    "sigmoid_pairs",
    "soft_dice",
    "soft_iou",
    "softmax_cross_entropy",
]
