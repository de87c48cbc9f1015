from dataclasses import replace

import numpy as np
import pytest

from sam_jax import TINY, Model
from sam_jax.data.framing import frame_image
from sam_jax.inference import embed_images, predict_masks
from sam_jax.inference.prompt_batches import decode_in_batches
from sam_jax.inference.prompts import make_prompts
from sam_jax.models import init_variables


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "batches"), [((1, 2, 4), [4, 1]), ((3,), [3, 2])])
def test_batches_give_what_all_prompts_at_once_give(sizes, batches):
    config = replace(TINY, image_encoder=replace(TINY.image_encoder, image_size=(128, 128)))
    model = Model(config, init_variables(config, seed=0))
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    framed, framing = frame_image(image, (128, 128))
    features = embed_images(model, framed[None], np.array([framing.fitted], np.int32))
    points = np.array([[5.0, 9], [20, 30], [50, 10], [33, 12], [48, 38]])
    prompts = make_prompts(
        framing, point_coords=points[:, None], point_labels=np.ones((5, 1), np.int32)
    )
    logits, iou = predict_masks(model, features, prompts, multimask_output=True)
    found = list(decode_in_batches(model, features, prompts, sizes, multimask_output=True))
    assert [len(batch.iou) for batch in found] == batches
    assert [batch.prompts.start for batch in found] == [0, batches[0]]
    for batch in found:
        assert len(batch.logits) in sizes
        np.testing.assert_allclose(batch.iou, iou[0, batch.prompts], atol=1e-5)
        count = len(batch.iou)
        np.testing.assert_allclose(batch.logits[:count], logits[0, batch.prompts], atol=1e-3)
