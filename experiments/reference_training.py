"""The training session written in PyTorch over the official modules, to compare with.

It is what one would write first: a loop over images, the official prompt encoder and mask decoder on all prompts of an
image, the losses as formulas.
"""

from typing import Any, NamedTuple

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

FOCAL_WEIGHT, ALPHA, GAMMA, EPSILON = 20.0, 0.25, 2.0, 1.0


class TorchBatch(NamedTuple):
    """Normalised images (b, 3, h, w), truth (b, n, h/4, w/4) and what of it belongs to the photo (b, h/4, w/4)."""

    pixels: torch.Tensor
    truth: torch.Tensor
    inside: torch.Tensor


class TorchPrompts(NamedTuple):
    """What the user does, fixed: the first prompt is `boxes` (b, n, 4), or the first of `points` where that is None.

    The other points (b, n, iterations, 2) come one by one; so do their labels.
    """

    points: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor | None


def session_loss(
    model: Any, batch: TorchBatch, prompts: TorchPrompts, iterations: int
) -> torch.Tensor:
    """Loss of all masks and iterations, the mean over both."""
    embeddings = model.image_encoder(batch.pixels)
    total = torch.zeros(())
    for i, embedding in enumerate(embeddings):
        masks = None
        boxes = None if prompts.boxes is None else prompts.boxes[i]
        for index in range(iterations):
            known = index + (boxes is None)
            points = (prompts.points[i, :, :known], prompts.labels[i, :, :known]) if known else None
            sparse, dense = model.prompt_encoder(points=points, boxes=boxes, masks=masks)
            logits, iou = model.mask_decoder(
                image_embeddings=embedding[None],
                image_pe=model.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=index == 0,
            )
            total = total + _losses(logits, iou, batch.truth[i][:, None], batch.inside[i]).sum()
            best = iou.argmax(dim=1)
            masks = logits[torch.arange(len(logits)), best][:, None]
    return total / (iterations * batch.truth.shape[0] * batch.truth.shape[1])


def _losses(
    logits: torch.Tensor, iou: torch.Tensor, truth: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """One number for each prompt, of (n, m, h, w) logits."""
    truth = truth.to(logits.dtype).expand_as(logits)
    probability = logits.sigmoid()
    entropy = binary_cross_entropy_with_logits(logits, truth, reduction="none")
    right = probability * truth + (1 - probability) * (1 - truth)
    weight = ALPHA * truth + (1 - ALPHA) * (1 - truth)
    focal = (weight * (1 - right) ** GAMMA * entropy * inside).sum((2, 3)) / inside.sum()
    overlap = (probability * truth * inside).sum((2, 3))
    sizes = (probability * inside).sum((2, 3)) + (truth * inside).sum((2, 3))
    dice = 1 - (2 * overlap + EPSILON) / (sizes + EPSILON)
    mask_loss = (FOCAL_WEIGHT * focal + dice).min(dim=1).values
    with torch.no_grad():
        predicted, real = (logits > 0) & inside, (truth > 0) & inside
        both, either = (predicted & real).sum((2, 3)), (predicted | real).sum((2, 3))
        real_iou = both / either.clamp(min=1)
    return mask_loss + ((iou - real_iou) ** 2).mean(dim=1)
