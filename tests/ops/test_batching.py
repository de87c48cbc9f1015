import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.ops.batching import map_in_batches, replace_in_batches


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 100])
def test_every_element_once(at_once):
    elements = jnp.arange(14.0).reshape(7, 2)
    other = jnp.arange(7.0)
    expected = elements**2 + other[:, None]
    mapped = map_in_batches(lambda pair: pair[0] ** 2 + pair[1], (elements, other), at_once)
    np.testing.assert_array_equal(mapped, expected)
    replaced = replace_in_batches(lambda x, y: x**2 + y, elements, other, at_once=at_once)
    np.testing.assert_array_equal(replaced, expected)


@pytest.mark.parametrize("at_once", [1, 3])
def test_gradients_pass_through_what_is_replaced(at_once):
    elements = jnp.arange(14.0).reshape(7, 2)
    gradient = jax.grad(lambda x: replace_in_batches(lambda row: row**3, x, at_once=at_once).sum())(
        elements
    )
    np.testing.assert_allclose(gradient, 3 * elements**2)
