"""Between PyTorch's tensors and JAX: who hands in tensors gets tensors, with gradients; everybody else gets arrays.

PyTorch is optional. Where it isn't installed, arrays stand for tensors everywhere.
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np

from sam_jax.checkpoints.names import Translation, rearrange

torch: Any = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
"""PyTorch, or None where it is not installed."""

Tensor = Any
"""A `torch.Tensor`, or an array of NumPy or JAX; shapes and layouts are the official ones, with channels first."""


class HostArray(np.ndarray):
    """An array that knows the methods of a tensor which lead to NumPy, so that `x.detach().cpu().numpy()` works."""

    def cpu(self) -> "HostArray":
        """The array itself."""
        return self

    def detach(self) -> "HostArray":
        """The array itself."""
        return self

    def numpy(self) -> np.ndarray:
        """The array as a plain one of NumPy."""
        return self.view(np.ndarray)


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of PyTorch."""
    return torch is not None and isinstance(value, torch.Tensor)


def as_array(value: Any) -> np.ndarray:
    """The values of a tensor or an array in the main memory."""
    if not is_tensor(value):
        return np.asarray(value)
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def answers_in_tensors(*inputs: Any) -> bool:
    """Whether results are tensors: an input is one, or there is no input to tell and PyTorch is installed."""
    given = [value for value in inputs if value is not None]
    return any(map(is_tensor, given)) if given else torch is not None


def like(result: Any, *inputs: Any) -> Tensor:
    """A result in the form of the inputs that it was computed from.

    Args:
        result: Array of the result, which belongs to nobody else.
        inputs: What the result was computed from; the first tensor says the device.
    """
    if not answers_in_tensors(*inputs):
        return np.array(result, order="K").view(HostArray)
    device = next((value.device for value in inputs if is_tensor(value)), torch.device("cpu"))
    return _to_tensor(result, device)


def _to_tensor(array: Any, device: Any) -> Tensor:
    platforms = (
        {place.platform for place in array.devices()} if isinstance(array, jax.Array) else {}
    )
    if platforms == {"cpu"} or (platforms == {"gpu"} and device.type == "cuda"):
        return torch.from_dlpack(array).to(device)
    return torch.from_numpy(np.array(array, order="C")).to(device)


def join(parts: Sequence[Tensor]) -> Tensor:
    """Tensors or arrays, one after the other along the first axis.

    Args:
        parts: Tensors, or arrays.
    """
    if is_tensor(parts[0]):
        return torch.cat(list(parts))
    return np.concatenate(parts).view(type(parts[0]))


def compute(
    function: Callable[..., tuple[jax.Array, ...]],
    inputs: Sequence[Tensor],
    weights: Sequence[tuple[Tensor, Translation]] = (),
    form: Sequence[Tensor] = (),
) -> tuple[Tensor, ...]:
    """What a function of JAX gives, as tensors or arrays; PyTorch can differentiate it.

    Args:
        function: Function of the inputs and of the weights in the layouts of this package. It gives several arrays.
        inputs: Inputs of the function.
        weights: Trained tensors in official layout, with the translation of each; further inputs of the function.
        form: Values whose form the results have, with the inputs.
    """
    tensors = [*inputs, *(tensor for tensor, _ in weights)]
    translations = (*(None for _ in inputs), *(translation for _, translation in weights))
    if wants_gradient(*tensors):
        return _differentiable().apply(function, translations, *tensors)
    results = function(*_in_our_layout(tensors, translations))
    return tuple(like(result, *inputs, *form) for result in results)


def wants_gradient(*tensors: Tensor) -> bool:
    """Whether PyTorch records what is done with one of these tensors."""
    tracked = (value for value in tensors if is_tensor(value) and value.requires_grad)
    return torch is not None and torch.is_grad_enabled() and any(True for _ in tracked)


def without_gradient() -> AbstractContextManager[Any]:
    """A block in which PyTorch records nothing."""
    return nullcontext() if torch is None else torch.no_grad()


def _in_our_layout(
    tensors: Sequence[Tensor], translations: Sequence[Translation | None]
) -> list[np.ndarray]:
    return [
        as_array(tensor)
        if translation is None
        else rearrange(
            as_array(tensor).astype(np.float32, copy=False),
            translation.key_axes,
            translation.path_axes,
        )
        for tensor, translation in zip(tensors, translations, strict=True)
    ]


@functools.cache
def _differentiable() -> Any:
    """The function of PyTorch's autograd whose forward and backward pass are JAX's."""

    class Differentiable(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, function: Any, translations: Any, *tensors: Any) -> Any:
            arrays = _in_our_layout(tensors, translations)
            wanted = [place for place, needed in enumerate(ctx.needs_input_grad[2:]) if needed]

            def of_wanted(*some: Any) -> Any:
                replaced = dict(zip(wanted, some, strict=True))
                return function(*(replaced.get(i, array) for i, array in enumerate(arrays)))

            results, ctx.pull_back = jax.vjp(of_wanted, *(arrays[place] for place in wanted))
            ctx.wanted, ctx.tensors, ctx.translations = wanted, tensors, translations
            return tuple(like(result, *tensors) for result in results)

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            gradients: list[Any] = [None] * len(ctx.tensors)
            pulled = ctx.pull_back(tuple(np.asarray(as_array(one)) for one in cotangents))
            for place, gradient in zip(ctx.wanted, pulled, strict=True):
                tensor, translation = ctx.tensors[place], ctx.translations[place]
                if translation is not None:
                    gradient = rearrange(
                        np.asarray(gradient), translation.path_axes, translation.key_axes
                    )
                gradients[place] = like(gradient, tensor).to(tensor.dtype)
            return (None, None, *gradients)

    return Differentiable
