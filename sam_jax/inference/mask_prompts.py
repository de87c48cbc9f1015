"""Binary masks as mask prompts."""

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

CERTAIN_LOGIT = 10.0
"""Magnitude of the logits inside and outside the mask: about the largest of the logits that the model is trained on."""


def mask_to_logits(
    mask: Bool[np.ndarray, "h w"], fitted: tuple[int, int], frame: tuple[int, int]
) -> Float[np.ndarray, "h_low w_low"]:
    """Turn a mask of a photo into the low-resolution logits that `predict` takes as `mask_input`.

    Args:
        mask: Mask at the photo's size.
        fitted: Size (h, w) that the photo is resized to, the predictor's `input_size`.
        frame: Size (h, w) of the model's padded input. The logits have a quarter of it, with background in the padding.
    """
    share = np.zeros(frame, np.float32)
    image = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    resized = image.resize((fitted[1], fitted[0]), Image.Resampling.BILINEAR)
    share[: fitted[0], : fitted[1]] = np.asarray(resized, np.float32) / 255
    share = share.reshape(frame[0] // 4, 4, frame[1] // 4, 4).mean(axis=(1, 3))
    return CERTAIN_LOGIT * (2 * share - 1)
