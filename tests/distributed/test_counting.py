"""Programs whose operations can be counted by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from sam_jax.distributed.counting import Work, count_arguments, count_work

PRODUCT = 2 * 8 * 6 * 6  # of an 8 × 6 and a 6 × 6 matrix
X, W = jax.ShapeDtypeStruct((8, 6), jnp.float32), jax.ShapeDtypeStruct((6, 6), jnp.float32)


def work_of(function, *arguments, devices=1) -> Work:
    return count_work(jax.make_jaxpr(function)(*arguments), devices)


def loop(x, w, turns):
    def is_open(state):
        return state[0] < turns

    def turn(state):
        return state[0] + 1, state[1] @ w

    return jax.lax.while_loop(is_open, turn, (2, x))[1]


@pytest.mark.parametrize(
    ("function", "products"),
    [
        (lambda x, w: x @ w, 1),
        (lambda x, w: jax.lax.scan(lambda y, _: (y @ w, None), x, None, length=5)[0], 5),
        (lambda x, w: jax.lax.fori_loop(0, 7, lambda _, y: y @ w, x), 7),
        (lambda x, w: loop(x, w, 9), 7),
        (lambda x, w: jax.lax.cond(x[0, 0] > 0, lambda: x @ w @ w, lambda: x @ w), 2),
        (jax.jit(lambda x, w: jax.nn.gelu(x) @ w), 1),
        (jax.vmap(lambda row, w: row @ w, (0, None)), 1),
        (lambda x, w: jax.lax.map(lambda row: row @ w, x), 1),
    ],
)
def test_products_are_counted_as_often_as_they_are_done(function, products):
    work = work_of(function, X, W)
    assert work.flops == products * PRODUCT
    assert work.open_loops == 0


def test_loops_of_unknown_length_are_told():
    work = work_of(lambda x, w: jax.lax.while_loop(lambda y: y.sum() < 9, lambda y: y @ w, x), X, W)
    assert work == Work(PRODUCT, 0, work.touched, 0, open_loops=1)


def test_gradients_and_what_is_computed_again():
    def loss(w, x):
        return jnp.tanh(jnp.tanh(x @ w) @ w).sum()

    # Forward two products; backward two by the weights, and one by what lies between.
    once = work_of(jax.grad(loss), W, X)
    assert (once.flops, once.recomputed) == (5 * PRODUCT, 0)
    again = work_of(jax.grad(jax.checkpoint(loss)), W, X)
    assert (again.flops, again.recomputed) == (7 * PRODUCT, 2 * PRODUCT)

    def layers(w, x):
        return jax.lax.scan(jax.checkpoint(lambda y, _: (jnp.tanh(y @ w), None)), x, None, 4)[0]

    looped = work_of(jax.grad(lambda w, x: layers(w, x).sum()), W, X)
    assert (looped.flops, looped.recomputed) == (16 * PRODUCT, 4 * PRODUCT)


def test_convolutions():
    image, kernel = jnp.zeros((2, 7, 9, 4)), jnp.zeros((3, 3, 4, 5))
    layout = ("NHWC", "HWIO", "NHWC")

    def convolve(x, k, **how):
        return jax.lax.conv_general_dilated(x, k, dimension_numbers=layout, **how)

    same = work_of(
        lambda x, k: convolve(x, k, window_strides=(1, 1), padding="SAME"), image, kernel
    )
    assert same.flops == 2 * (2 * 7 * 9 * 5) * (3 * 3 * 4)
    assert same.touched == 4 * (image.size + kernel.size + 2 * 7 * 9 * 5)
    # Three of four elements of an input that is spread out are zeros.
    spread = work_of(
        lambda x, k: convolve(
            x, k, window_strides=(1, 1), padding=((1, 1), (1, 1)), lhs_dilation=(2, 2)
        ),
        image,
        kernel,
    )
    assert spread.flops == 2 * (2 * 13 * 17 * 5) * (3 * 3 * 4) / 4
    apart = work_of(
        lambda x, k: convolve(x, k, window_strides=(1, 1), padding="SAME", feature_group_count=4),
        image,
        jnp.zeros((3, 3, 1, 8)),
    )
    assert apart.flops == 2 * (2 * 7 * 9 * 8) * (3 * 3)


def test_each_device_does_its_part_and_receives_the_others():
    mesh, divided = AbstractMesh((4,), ("devices",)), PartitionSpec("devices")

    def on_device(x, w):
        whole = jax.lax.all_gather(w, "devices", axis=1, tiled=True)
        return jax.lax.psum_scatter(x @ whole, "devices", tiled=True), jax.lax.psum(x, "devices")

    program = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(divided, PartitionSpec(None, "devices")),
        out_specs=(divided, PartitionSpec()),
        check_vma=False,
    )
    x, w = jax.ShapeDtypeStruct((16, 8), jnp.float32), jax.ShapeDtypeStruct((8, 8), jnp.bfloat16)
    work = work_of(lambda x, w: program(x, w), x.update(dtype=jnp.bfloat16), w, devices=4)
    assert work.flops == 2 * 4 * 8 * 8
    gathered, scattered, summed = 8 * 8 * 2, 4 * 8 * 2, 4 * 8 * 2
    assert work.received == 3 / 4 * (gathered + scattered + 2 * summed)


def test_outside_of_shard_map_devices_share_the_work():
    assert work_of(lambda x, w: x @ w, X, W, devices=8).flops == PRODUCT / 8


def test_arguments_that_are_looked_at():
    program = jax.make_jaxpr(lambda x, w, unused: (x @ w, x))(X, W, X)
    assert count_arguments(program) == 4 * (8 * 6 + 6 * 6)


def test_a_kernel_counts_for_each_point_of_its_grid():
    pallas = pytest.importorskip("jax.experimental.pallas")

    def kernel(x, w, out):
        out[...] = x[...] @ w[...]

    product = pallas.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((8, 6), jnp.float32),
        grid=(4,),
        in_specs=[
            pallas.BlockSpec((2, 6), lambda i: (i, 0)),
            pallas.BlockSpec((6, 6), lambda i: (0, 0)),
        ],
        out_specs=pallas.BlockSpec((2, 6), lambda i: (i, 0)),
        interpret=True,
    )
    work = work_of(product, X, W)
    assert work.flops == PRODUCT
    assert work.touched == 4 * (48 + 36 + 48)
