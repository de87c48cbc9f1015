import numpy as np
import pytest

from sam_jax import InputError, Model, SamPredictor
from sam_jax.models import init_variables
from tests.models.conftest import OBLONG


@pytest.fixture(scope="module")
def predictor():
    return SamPredictor(Model(OBLONG, init_variables(OBLONG)))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5), np.uint8),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((4, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
    ],
    ids=["grey", "four channels", "floats", "empty"],
)
def test_refuses_what_is_no_image(predictor, image):
    with pytest.raises(InputError):
        predictor.set_image(image)
    assert not predictor.is_image_set


def test_needs_an_image_first():
    predictor = SamPredictor(Model(OBLONG, init_variables(OBLONG)))
    with pytest.raises(RuntimeError, match="set_image"):
        predictor.predict(box=np.array([0, 0, 5, 5]))


def test_bgr_is_rgb_reversed(predictor):
    image = np.random.default_rng(0).integers(0, 256, (30, 60, 3), np.uint8)
    predictor.set_image(image)
    rgb = predictor.get_image_embedding()
    predictor.set_image(image[..., ::-1], image_format="BGR")
    np.testing.assert_array_equal(predictor.get_image_embedding(), rgb)
    assert rgb.shape == (1, 16, 4, 6)
    assert (predictor.original_size, predictor.input_size) == ((30, 60), (48, 96))
    with pytest.raises(InputError, match="RGB"):
        predictor.set_image(image, image_format="GBR")
