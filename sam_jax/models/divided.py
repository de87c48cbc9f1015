"""Parameters of which each device holds a part, and modules see the whole."""

from functools import partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from flax.core.meta import AxisMetadata
from jaxtyping import Array, Float


class DividedParameter(flax.struct.PyTreeNode, AxisMetadata):
    """A part of a parameter in place of the whole, under `jax.shard_map`.

    A module that asks for the parameter gathers it at that moment, and its gradient is a part as well: the sum over the
    devices that share the parameter. So what is computed again in the backward pass (`Compute.remat`) is gathered
    again, and whole parameters and gradients never exist for more than a block.

    Attributes:
        part: The part that this device holds.
        axis: The axis of the parameter that is divided.
        mesh_axis: Name of the mesh axis along which it is.
        dtype: Dtype that the modules compute in, in which devices send each other the parts; gradients are added in
            float32.
    """

    part: Any = flax.struct.field()
    axis: int = flax.struct.field(pytree_node=False)
    mesh_axis: str = flax.struct.field(pytree_node=False)
    dtype: jnp.dtype = flax.struct.field(pytree_node=False)

    def unbox(self) -> Any:
        """The whole parameter."""
        return _gather(self.part, self.axis, self.mesh_axis, self.dtype)

    def replace_boxed(self, val: Any) -> Any:
        """The same with another part."""
        return self.replace(part=val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> Any:
        """The same: transformations of modules don't stack parameters here."""
        return self

    def remove_axis(self, index: int, params: dict[Any, Any]) -> Any:
        """The same."""
        return self


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _gather(
    part: Float[Array, "..."], axis: int, mesh_axis: str, dtype: jnp.dtype
) -> Float[Array, "..."]:
    return jax.lax.all_gather(part.astype(dtype), mesh_axis, axis=axis, tiled=True)


def _gather_forward(
    part: Float[Array, "..."], axis: int, mesh_axis: str, dtype: jnp.dtype
) -> tuple[Array, None]:
    return _gather(part, axis, mesh_axis, dtype), None


def _scatter_gradient(
    axis: int, mesh_axis: str, dtype: jnp.dtype, _: None, gradient: Float[Array, "..."]
) -> tuple[Array]:
    gradient = gradient.astype(jnp.float32)
    return (jax.lax.psum_scatter(gradient, mesh_axis, scatter_dimension=axis, tiled=True),)


_gather.defvjp(_gather_forward, _scatter_gradient)
