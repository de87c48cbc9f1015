import numpy as np
import pytest

from sam_jax.data.framing import Framing
from sam_jax.inference.mask_prompts import CERTAIN_LOGIT, mask_to_logits
from sam_jax.inference.upscaling import plan_upscaling, upscale_masks
from sam_jax.ops.resize import fit_size


@pytest.mark.parametrize("size", [(300, 450), (450, 300), (100, 80), (1500, 700)], ids=str)
@pytest.mark.parametrize("frame", [(512, 512), (384, 512)], ids=str)
def test_the_logits_show_the_mask_again_when_enlarged(size, frame):
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask = np.hypot(rows - size[0] / 3, columns - size[1] / 2) < min(size) / 3
    framing = Framing(size, fit_size(*size, frame), frame)
    logits = mask_to_logits(mask, framing.fitted, frame)
    assert logits.shape == framing.low_size
    again = np.asarray(upscale_masks(logits[None, None], plan_upscaling(framing)))
    disagreement = (again[0, 0, : size[0], : size[1]] != mask).sum()
    assert disagreement < 0.02 * mask.sum()


def test_certain_inside_and_outside_and_background_in_the_padding():
    mask = np.zeros((64, 128), bool)
    mask[:, :64] = True
    logits = mask_to_logits(mask, (32, 64), (64, 64))
    np.testing.assert_allclose(logits[:7, :7], CERTAIN_LOGIT)
    np.testing.assert_allclose(logits[:8, 9:], -CERTAIN_LOGIT)
    np.testing.assert_allclose(logits[8:], -CERTAIN_LOGIT)
