import numpy as np
import pytest
from PIL import Image

from sam_jax.ops.luma import measure_luma

COLOURS = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)


def test_is_the_grey_that_pillow_makes():
    grey = np.asarray(Image.fromarray(COLOURS).convert("L"))
    np.testing.assert_allclose(measure_luma(COLOURS), grey, atol=0.51)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("uint8", "float64"), ("float32", "float32"), ("float64", "float64")]
)
def test_keeps_the_precision_and_the_unit(dtype, expected):
    luma = measure_luma(COLOURS.astype(dtype))
    assert luma.dtype == expected
    np.testing.assert_allclose(luma, measure_luma(COLOURS), rtol=1e-6)
