"""The models among the arguments of classes, checked where they are given."""

from typing import Any

from sam_jax.models import Model
from sam_jax.models.clip import ClipModel
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


def check_text(model: Model, clip: ClipModel | None = None) -> None:
    """Check that weights take text, and that of a CLIP.

    Args:
        model: Model with its weights.
        clip: CLIP whose embeddings it is to take; None where none is known yet.

    Raises:
        InputError: They don't.
    """
    width = model.config.prompt_encoder.text_width
    if width is None:
        raise InputError(
            "these weights were not trained with text, and the paper's that were are not published: `sam-jax train "
            "sa1b_vit_h_text` trains such, `sam-jax generate --text` finds masks of phrases without, and the weights "
            "`drawings`, which come with sam-jax, take text about drawings"
        )
    if clip is not None and clip.config.width != width:
        raise InputError(
            f"the weights were trained with a CLIP whose embeddings have a width of {width}, and this one's have "
            f"{clip.config.width}: give that one"
        )
