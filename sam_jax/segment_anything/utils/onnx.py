"""What the official package exports to ONNX."""

from typing import Any

from sam_jax.types import InputError


class SamOnnxModel:
    """The official class whose instances PyTorch traces; here it says what to do instead.

    Args:
        args: A model and options.
        kwargs: Options by name.

    Raises:
        InputError: Always, since PyTorch cannot trace what JAX computes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise InputError(
            "PyTorch cannot export to ONNX what JAX computes: `sam-jax convert WEIGHTS official.pth` writes the "
            "weights for the official package, whose scripts/export_onnx_model.py exports them"
        )
