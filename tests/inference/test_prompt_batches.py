import numpy as np
import pytest

from sam_jax.data.framing import frame_image
from sam_jax.inference import embed_images, predict_masks
from sam_jax.inference.prompt_batches import decode_in_batches
from sam_jax.inference.prompts import make_prompts
from sam_jax.models import Model, init_variables
from tests.models.conftest import OBLONG


@pytest.fixture(scope="module")
def asked():
    """A model, an image's embedding, and five prompts."""
    model = Model(OBLONG, init_variables(OBLONG))
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    framed, framing = frame_image(image, OBLONG.image_encoder.image_size)
    features = embed_images(model, framed[None], np.array([framing.fitted], np.int32))
    points = np.array([[5.0, 9], [20, 30], [50, 10], [33, 12], [48, 38]])
    labels = np.ones((5, 1), np.int32)
    return model, features, make_prompts(framing, point_coords=points[:, None], point_labels=labels)


@pytest.fixture(scope="module")
def together(asked):
    return predict_masks(*asked, multimask_output=True)


@pytest.mark.parametrize(("sizes", "batches"), [((1, 2, 4), [4, 1]), ((3,), [3, 2])])
def test_batches_give_what_all_prompts_at_once_give(asked, together, sizes, batches):
    found = list(decode_in_batches(*asked, sizes, multimask_output=True))
    assert [len(batch.iou) for batch in found] == batches
    assert [batch.prompts.start for batch in found] == [0, batches[0]]
    assert np.abs(together.logits[0, 1] - together.logits[0, 0]).max() > 0.1
    for batch in found:
        assert len(batch.logits) in sizes
        np.testing.assert_allclose(batch.iou, together.iou[0, batch.prompts], atol=1e-5)
        count = len(batch.iou)
        expected = together.logits[0, batch.prompts]
        np.testing.assert_allclose(batch.logits[:count], expected, atol=1e-3)
