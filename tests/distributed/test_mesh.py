"""How devices are laid out, and which batches they can share."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from sam_jax.distributed import DATA, FSDP, check_divisible, device_mesh, parameter_specs
from sam_jax.types import InputError


def ids(mesh):
    return [[device.id for device in row] for row in mesh.devices]


def test_devices_in_rows_that_share_parameters():
    devices = jax.devices()[:6]
    assert ids(device_mesh(devices)) == [[0, 1, 2, 3, 4, 5]]
    mesh = device_mesh(devices, 2)
    assert dict(mesh.shape) == {DATA: 3, FSDP: 2}
    assert ids(mesh) == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(
        InputError, match="sharded_over 4 cannot divide 6 devices; take 1, 2, 3 or 6"
    ):
        device_mesh(devices, 4)


@dataclass(frozen=True)
class Chip:
    id: int
    slice_index: int
    process_index: int
    platform: str = "tpu"


def test_a_slice_is_a_row_and_processes_are_in_order():
    chips = [Chip(index, index % 2, process) for index, process in enumerate([0, 2, 1, 3, 0, 2])]
    assert ids(device_mesh(chips)) == [[0, 4, 2], [1, 5, 3]]


def test_large_leaves_are_divided_along_their_largest_axis_that_fits():
    mesh = device_mesh(jax.devices(), 4)
    tree = {
        "kernel": jnp.zeros((64, 192)),
        "table": jnp.zeros((127, 80)),
        "odd": jnp.zeros((127, 81)),
        "bias": jnp.zeros(4096),
        "tokens": jnp.zeros((4, 16)),
    }
    assert parameter_specs(tree, mesh, sharded=True) == {
        "kernel": PartitionSpec(None, FSDP),
        "table": PartitionSpec(None, FSDP),
        "odd": PartitionSpec(),
        "bias": PartitionSpec(),
        "tokens": PartitionSpec(),
    }
    replicated = parameter_specs(tree, mesh, sharded=False)
    assert set(jax.tree.leaves(replicated)) == {PartitionSpec()}


@pytest.mark.parametrize(
    ("images", "micro_batches", "message"),
    [
        (
            12,
            1,
            "batch_size 12 cannot be divided over 8 devices; take a multiple of 8, such as 8 or 16, "
            "or 1, 2, 3, 4 or 6 devices",
        ),
        (
            4,
            2,
            "batch_size 4 cannot be divided over 8 devices and 2 micro_batches; take a multiple of 16, such as 16, "
            "or 1 or 2 devices",
        ),
        (
            24,
            4,
            "batch_size 24 cannot be divided over 8 devices and 4 micro_batches; take a multiple of 32, such as 32, "
            "or micro_batches 1 or 3, or 1, 2, 3 or 6 devices",
        ),
    ],
)
def test_batches_that_cannot_be_shared_are_refused_with_numbers_that_can(
    images, micro_batches, message
):
    with pytest.raises(InputError) as error:
        check_divisible(images, micro_batches, device_mesh(jax.devices()))
    assert str(error.value) == message


@pytest.mark.parametrize(("images", "micro_batches"), [(8, 1), (16, 2), (48, 3)])
def test_batches_that_can_be_shared(images, micro_batches):
    check_divisible(images, micro_batches, device_mesh(jax.devices()))
