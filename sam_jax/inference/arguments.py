"""The model among the arguments of classes, checked where it is given."""

from typing import Any

from sam_jax.models import Model
from sam_jax.ops.arguments import describe
from sam_jax.types import InputError


def check_model(model: Any) -> None:
    """Check that a model with its weights was given, and not the path of one, or a photo.

    Raises:
        InputError: It is something else.
    """
    if not isinstance(model, Model):
        raise InputError(
            f"a model with its weights is needed, as sam_jax.load() gives it, not {describe(model)}"
        )
