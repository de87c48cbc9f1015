"""The options of commands that teach existing weights more, of which the decoder learns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, arg

from sam_jax.cli.options import UNSET, ImageSize

if TYPE_CHECKING:
    from sam_jax.training.finetuning import FinetuningConfig


@dataclass(frozen=True, kw_only=True)
class DecoderTraining:
    """How the mask decoder and the prompt encoder learn."""

    steps: Annotated[int, arg(metavar="N")] = 1000
    """Number of training steps."""
    rate: Annotated[float, arg(metavar="R")] = 1e-4
    """Highest learning rate. It is reached after a tenth of the steps, and falls to 0 at the end."""
    batch_size: Annotated[int | None, arg(metavar="N", help_behavior_hint=UNSET)] = None
    """Images a step, a multiple of the number of devices; the default is the smallest such number from 4 on."""
    masks: Annotated[int, arg(metavar="N")] = 8
    """Masks of an image in a step, drawn anew each time."""
    iterations: Annotated[int, arg(metavar="N")] = 4
    """Prompts for a mask: first a click or a box, then clicks where the last prediction was wrong."""
    image_size: ImageSize = None
    """Size of the model's input in pixels; the default is the weights'. Smaller sizes take less time and memory."""
    train_encoder: FlagCreatePairsOff[bool] = False
    """Train the image encoder, too. This takes far more time and memory."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of everything that is drawn at random."""

    def make_config(self, *, hold_back: int, cache_embeddings: bool = True) -> "FinetuningConfig":
        """The settings of the run.

        Args:
            hold_back: Interval of held-back images; 0 to hold back none.
            cache_embeddings: Whether image embeddings are kept on the disk while the encoder is frozen.

        Raises:
            InputError: A number is out of its range.
        """
        from sam_jax.training.finetuning import FinetuningConfig

        return FinetuningConfig(
            **vars(self), hold_back=hold_back, cache_embeddings=cache_embeddings
        )
