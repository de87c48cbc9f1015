import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.ops.batching import map_images, map_in_batches, replace_in_batches


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


@pytest.mark.parametrize(
    ("count", "at_once", "size"), [(64, 6, 4), (100, 64, 50), (7, 3, 3), (11, 4, 4)]
)
def test_batches_are_of_one_size_no_larger_than_allowed(count, at_once, size):

    def double(element):
        return 2 * element

    traced = jax.make_jaxpr(lambda x: map_in_batches(double, x, at_once))(jnp.arange(float(count)))
    (loop,) = (equation for equation in traced.eqns if equation.primitive.name == "scan")
    assert loop.outvars[0].aval.shape == (-(-count // size), size)


def test_a_single_image_is_not_mapped_over():
    seen = []
    for count in (1, 2):
        x = jnp.arange(2.0 * count).reshape(count, 2)
        doubled = map_images(lambda row: (seen.append(type(row).__name__), 2 * row)[1], x)
        np.testing.assert_array_equal(doubled, 2 * x)
    assert seen[0] != "BatchTracer"
    assert seen[1] == "BatchTracer"
