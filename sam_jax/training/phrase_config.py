"""A training run of a CLIP on drawings."""

from dataclasses import dataclass

from sam_jax.data.phrased_crops import CropSettings
from sam_jax.models.clip import ClipConfig
from sam_jax.training.config import Drawn, RunSettings
from sam_jax.types import InputError


@dataclass(frozen=True, kw_only=True)
class PhraseConfig(RunSettings):
    """A run that trains a CLIP on drawings: crops of their things and phrases, by the sigmoid loss.

    Attributes:
        model: Sizes of the CLIP, with a bias of the logits.
        data: Drawings to train on; `masks_per_image` is the most things that a drawing has.
        steps: Number of steps of the whole run.
        optimiser: How gradients move the parameters.
        phrases_per_image: Number of phrases of a drawing.
        absent: Probability that a word of a phrase is replaced, so that the phrase may fit nothing.
        most_growth: Largest factor by which the box of a thing grows before it is cropped; the smallest is 1.
        start_from: Folder of a CLIP to start from; None for random weights.
        seed: Seed of random weights and of all that is drawn on the devices.
        execution: How steps are computed.
        reporting: What the run leaves behind on its way.

    Raises:
        InputError: A value is out of its range, or two settings contradict each other.
    """

    model: ClipConfig
    phrases_per_image: int = 24
    absent: float = 0.3
    most_growth: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data.masks_per_image < 1:
            raise InputError("masks_per_image is at least 1: a CLIP learns from crops of masks")
        if not all(isinstance(source, Drawn) for source in self.data.sources):
            raise InputError("phrases are known of drawings only: every source is a Drawn")
        if not self.data.images_stay:
            raise InputError(
                "drawings are as phrases say they are: turn augmentation and pasting off"
            )
        if not self.model.has_logit_bias:
            raise InputError("the sigmoid loss learns a bias: set has_logit_bias of the model")
        if self.optimiser.layer_decay != 1:
            raise InputError("layer_decay is for encoders that are trained already: set it to 1")

    @property
    def frame(self) -> tuple[int, int]:
        """Size (h, w) of the crops in pixels."""
        return self.model.image.image_size

    @property
    def crops(self) -> CropSettings:
        """How crops and phrases are drawn."""
        return CropSettings(
            image_size=self.model.image.image_size,
            patch_size=self.model.image.patch_size,
            phrases=self.phrases_per_image,
            absent=self.absent,
            most_growth=self.most_growth,
        )
