"""What scripts use of `torch.nn.Module`, for where PyTorch is not installed."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sam_jax.segment_anything.tensors import HostArray
from sam_jax.types import InputError


class PlainModule:
    """A holder of weights, which are its attributes, and of other such holders; nothing can be trained."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What `forward` gives.

        Args:
            args: Arguments of `forward`.
            kwargs: Arguments of `forward` by name.
        """
        return self.forward(*args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]

    def named_parameters(self) -> Iterator[tuple[str, HostArray]]:
        """The weights by their official names."""
        for name, value in vars(self).items():
            if isinstance(value, PlainModule):
                yield from ((f"{name}.{inner}", array) for inner, array in value.named_parameters())
            elif isinstance(value, HostArray):
                yield name, value

    def parameters(self) -> Iterator[HostArray]:
        """The weights."""
        return (array for _, array in self.named_parameters())

    def state_dict(self) -> dict[str, HostArray]:
        """The weights by their official names."""
        return dict(self.named_parameters())

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes weights over.

        Args:
            state_dict: Arrays by their official names, as `state_dict` gives them.

        Raises:
            InputError: Names or shapes are not those of this model.
        """
        held = self.state_dict()
        misfits = sorted(set(held) ^ set(state_dict)) or [
            name for name, array in held.items() if array.shape != np.shape(state_dict[name])
        ]
        if misfits:
            raise InputError(
                f"the state dict belongs to another model: {len(misfits)} names or shapes differ, such as {misfits[0]}"
            )
        for name, array in held.items():
            array[...] = np.asarray(state_dict[name])
        self.forget()

    def forget(self) -> None:
        """Drops what was computed from earlier weights."""
        for value in vars(self).values():
            if isinstance(value, PlainModule):
                value.forget()

    def eval(self) -> "PlainModule":
        """The module itself, in which nothing depends on the mode."""
        return self

    def train(self, mode: bool = True) -> "PlainModule":
        """The module itself, in which nothing depends on the mode.

        Args:
            mode: Whether training was asked for.
        """
        return self

    def to(self, *args: Any, **kwargs: Any) -> "PlainModule":
        """The module itself: JAX computes on the devices that it finds, in the precision of `sam_jax.Compute`.

        Args:
            args: A device or a dtype.
            kwargs: A device or a dtype by name.
        """
        return self

    def cuda(self, device: Any = None) -> "PlainModule":
        """The module itself; see `to`.

        Args:
            device: Number of a device.
        """
        return self

    def cpu(self) -> "PlainModule":
        """The module itself; see `to`."""
        return self

    def half(self) -> "PlainModule":
        """The module itself; see `to`."""
        return self

    def float(self) -> "PlainModule":
        """The module itself; see `to`."""
        return self
