"""What a training run is: everything that its result depends on, and how it is computed, kept and reported."""

import abc
from dataclasses import dataclass, field
from typing import Any, Literal

from sam_jax.data.augmentation import Augmentation
from sam_jax.data.pasting import Pasting
from sam_jax.data.phrased_crops import CropSettings
from sam_jax.models import Compute, DetectorConfig, MaeConfig, SamConfig
from sam_jax.ops.patches import count_visible
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import OptimiserConfig, StepDecay
from sam_jax.training.text_prompting import TextPrompting
from sam_jax.types import InputError


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Source of pictures drawn by the computer (`sam_jax.data.synthetic`).

    Attributes:
        weight: How often an image is drawn from this source, relative to the other sources.
        augmentation: Data augmentation of the pictures.
        pasting: Copy-paste of objects into the pictures, or None.
        seed: Seed of the pictures.
        size: Height and width of a picture in pixels.
        textures: Folder of photos whose pieces serve as textures beside the procedural ones, or None.
        plain: Share of the pictures that show only flat shapes, between 0 and 1.
        plain_contrast: Largest contrast of the textures of flat shapes, as a share of their brightness; 0 gives plain
            colours.
        repeat: Number of different pictures, which are kept in memory; None for a new picture every time.
    """

    weight: float = 1.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    pasting: Pasting | None = None
    seed: int = 0
    size: tuple[int, int] = (384, 512)
    textures: str | None = None
    plain: float = 0.0
    plain_contrast: float = 0.0
    repeat: int | None = None


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Source of drawings whose things have names (`sam_jax.data.drawn`), none of which is held back.

    Attributes:
        weight: How often an image is drawn from this source, relative to the other sources.
        augmentation: Data augmentation of the drawings.
        pasting: Copy-paste of objects into the drawings, or None.
        seed: Seed of the drawings.
        size: Height and width of a drawing in pixels.
        things: Number of things in a drawing.
        repeat: Number of different drawings; None for a new one every time.
    """

    weight: float = 1.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    pasting: Pasting | None = None
    seed: int = 0
    size: tuple[int, int] = (192, 256)
    things: int = 6
    repeat: int | None = None


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Source of images in a data set on disk, in any form that `sam_jax.data.sources` knows.

    Attributes:
        path: File or folder of the data set.
        weight: How often an image is drawn from this source, relative to the other sources.
        augmentation: Data augmentation of the images.
        pasting: Copy-paste of objects into the images, or None.
        hold_back: Interval of held-out images: with 5, the first image and every fifth after it take no part in
            training; in a database, by the photos' numbers, so that what is held out stays so while masks come in. 0
            holds out none.
    """

    path: str
    weight: float = 1.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    pasting: Pasting | None = None
    hold_back: int = 0

    def __post_init__(self) -> None:
        if self.hold_back < 0 or self.hold_back == 1:
            raise InputError(f"hold_back is 0, or 2 and more, not {self.hold_back}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Training data.

    Attributes:
        sources: Sources of the images, mixed by weight.
        batch_size: Number of images in a batch, over all devices.
        masks_per_image: Number of masks drawn from each image; 0 for photos alone.
        seed: Seed of the order of images and of everything that is drawn about them.
    """

    sources: tuple[Synthetic | Stored | Drawn, ...]
    batch_size: int
    masks_per_image: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sources:
            raise InputError("sources is empty: name at least one")
        _check_at_least(1, self, "batch_size")
        _check_at_least(0, self, "masks_per_image")
        if any(source.weight <= 0 for source in self.sources):
            raise InputError("every source has a weight above 0; leave out what is not wanted")

    @property
    def images_stay(self) -> bool:
        """Whether an image is the same each time, neither augmented nor pasted into."""
        return all(s.augmentation == Augmentation() and not s.pasting for s in self.sources)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How steps are computed; results don't depend on it beyond rounding.

    Attributes:
        compute: How the model is computed; None for what suits the devices,
            `sam_jax.models.default_compute(training=True)`.
        micro_batches: Number of parts of a device's share of a batch that are computed one after another, which saves
            memory.
        parameters: "replicated" if every device holds all parameters, "sharded" if each holds a part of them.
        sharded_over: Number of neighbouring devices that hold one copy of sharded parameters together, such as the GPUs
            of a host; other groups of as many hold further copies, and exchange gradients alone. None for all devices
            of a slice.
        data_workers: Number of processes that read data; 0 reads between steps.

    Raises:
        InputError: A value is out of its range.
    """

    compute: Compute | None = None
    micro_batches: int = 1
    parameters: Literal["replicated", "sharded"] = "replicated"
    sharded_over: int | None = None
    data_workers: int = 0

    def __post_init__(self) -> None:
        if self.parameters not in ("replicated", "sharded"):
            raise InputError(f"parameters is replicated or sharded, not {self.parameters!r}")
        _check_at_least(1, self, "micro_batches")
        _check_at_least(0, self, "data_workers")
        if self.sharded_over is not None:
            if self.parameters != "sharded":
                raise InputError('sharded_over is for parameters="sharded"')
            _check_at_least(1, self, "sharded_over")


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """What a run leaves behind on its way.

    Attributes:
        metrics_every: Number of steps from one line of metrics to the next.
        pictures_every: Number of steps from one picture of sessions to the next; 0 for none.
        states_every: Number of steps from one saved training state to the next. A run that is stopped goes on from the
            newest.
        states_kept: Number of saved training states that are kept, the newest.

    Raises:
        InputError: A value is out of its range.
    """

    metrics_every: int = 10
    pictures_every: int = 500
    states_every: int = 500
    states_kept: int = 2

    def __post_init__(self) -> None:
        _check_at_least(1, self, "metrics_every", "states_every", "states_kept")
        _check_at_least(0, self, "pictures_every")


def _check_at_least(least: int, settings: Any, *names: str) -> None:
    for name in names:
        if getattr(settings, name) < least:
            raise InputError(f"{name} is at least {least}, not {getattr(settings, name)}")


@dataclass(frozen=True, kw_only=True)
class RunSettings(abc.ABC):
    """What every training run has, whatever its objective.

    Attributes:
        data: Images to train on.
        steps: Number of steps of the whole run.
        optimiser: How gradients move the parameters.
        start_from: Path of weights to start from; None for random weights.
        seed: Seed of random weights and of all that is drawn on the devices.
        execution: How steps are computed.
        reporting: What the run leaves behind on its way.

    Raises:
        InputError: A value is out of its range, or two settings contradict each other.
    """

    data: DataConfig
    steps: int
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    start_from: str | None = None
    seed: int = 0
    execution: Execution = Execution()
    reporting: Reporting = Reporting()

    def __post_init__(self) -> None:
        _check_at_least(1, self, "steps")
        warmup, decay = self.optimiser.warmup_steps, self.optimiser.decay
        if warmup >= self.steps:
            raise InputError(f"a run of {self.steps} steps ends within warmup_steps {warmup}")
        if isinstance(decay, StepDecay):
            outside = [m for m in decay.milestones if not warmup < m < self.steps]
            if outside:
                raise InputError(
                    f"milestones {outside} are not between warmup_steps {warmup} and steps {self.steps}"
                )
        if self.data.batch_size % self.execution.micro_batches:
            raise InputError(
                f"batch_size {self.data.batch_size} cannot be divided into "
                f"micro_batches {self.execution.micro_batches}"
            )

    @property
    @abc.abstractmethod
    def frame(self) -> tuple[int, int]:
        """Size (h, w) of the model's input in pixels."""

    @property
    def crops(self) -> CropSettings | None:
        """How crops and phrases are drawn; None where the model takes whole images."""
        return None


@dataclass(frozen=True, kw_only=True)
class TrainConfig(RunSettings):
    """A training run of Segment Anything.

    Attributes:
        model: Sizes of the model.
        data: Images and masks to train on.
        steps: Number of steps of the whole run.
        optimiser: How gradients move the parameters.
        interaction: Settings of the simulated annotator.
        start_from: Path of weights to start from, of a whole model or of its image encoder, such as those of a masked
            autoencoder; None for random weights.
        frozen: Patterns of the paths of parameters that don't train, such as `image_encoder/*`.
        drop_path: Probability, in [0, 1), of dropping a residual branch of the last encoder block; it rises linearly
            from 0 in the first block.
        seed: Seed of random weights and of all that is drawn on the devices.
        cache_embeddings: Whether every image is encoded once and its embedding kept on disk, which needs a frozen
            encoder and images that stay the same.
        text: How large masks get embeddings of CLIP as first prompts; None to train without text.
        execution: How steps are computed.
        reporting: What the run leaves behind on its way.

    Raises:
        InputError: A value is out of its range, or two settings contradict each other.
    """

    model: SamConfig
    interaction: Interaction = field(default_factory=Interaction)
    frozen: tuple[str, ...] = ()
    drop_path: float = 0.0
    cache_embeddings: bool = False
    text: TextPrompting | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data.masks_per_image < 1:
            raise InputError("masks_per_image is at least 1: Segment Anything learns from masks")
        if not 0 <= self.drop_path < 1:
            raise InputError(f"drop_path is from 0 to below 1, not {self.drop_path}")
        if self.cache_embeddings and not self.data.images_stay:
            raise InputError(
                "cache_embeddings needs images that stay the same: turn augmentation and pasting off, or the cache"
            )
        if self.cache_embeddings and self.drop_path > 0:
            raise InputError(
                "cache_embeddings leaves no encoder to apply drop_path in: set one of them off"
            )
        if self.text is not None and self.model.prompt_encoder.text_width is None:
            raise InputError(
                "text needs a model that takes it: set model.prompt_encoder.text_width to the width of the CLIP"
            )
        if self.text is not None and any(source.pasting for source in self.data.sources):
            raise InputError("text needs masks that stay the same: turn pasting off")

    @property
    def frame(self) -> tuple[int, int]:
        """Size (h, w) of the padded input in pixels."""
        return self.model.image_encoder.image_size


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(RunSettings):
    """A run that pre-trains an image encoder as a masked autoencoder, on photos without masks.

    Attributes:
        model: Sizes of the masked autoencoder.
        data: Photos to train on.
        steps: Number of steps of the whole run.
        optimiser: How gradients move the parameters.
        mask_ratio: Share of the patches that the encoder does not see, above 0 and below 1.
        start_from: Path of a masked autoencoder's weights to start from; None for random weights.
        seed: Seed of random weights and of all that is drawn on the devices.
        execution: How steps are computed.
        reporting: What the run leaves behind on its way.

    Raises:
        InputError: A value is out of its range, or two settings contradict each other.
    """

    model: MaeConfig
    mask_ratio: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        patches = self.model.grid[0] * self.model.grid[1]
        if not (0 < self.mask_ratio < 1 and 0 < count_visible(patches, self.mask_ratio) < patches):
            raise InputError(
                f"mask_ratio {self.mask_ratio} of {patches} patches leaves none to see or none to paint"
            )
        if self.data.masks_per_image or any(source.pasting for source in self.data.sources):
            raise InputError(
                "pre-training looks at no masks: leave masks_per_image at 0, and pasting off"
            )
        if self.optimiser.layer_decay != 1:
            raise InputError("layer_decay is for encoders that are trained already: set it to 1")

    @property
    def frame(self) -> tuple[int, int]:
        """Size (h, w) of the photos that the model sees, in pixels."""
        return self.model.image_size


@dataclass(frozen=True, kw_only=True)
class DetectionConfig(RunSettings):
    """A run that trains a detector on the image embeddings of a Segment Anything, whose weights stay as they are.

    Attributes:
        model: Sizes of the Segment Anything.
        checkpoint: Path of its weights.
        detector: Sizes of the detector.
        data: Images and masks to train on; `masks_per_image` is the most objects that an image has.
        steps: Number of steps of the whole run.
        optimiser: How gradients move the parameters.
        start_from: Path of a detector's weights to start from; None for random weights.
        seed: Seed of random weights and of all that is drawn on the devices.
        execution: How steps are computed.
        reporting: What the run leaves behind on its way.

    Raises:
        InputError: A value is out of its range, or two settings contradict each other.
    """

    model: SamConfig
    checkpoint: str
    detector: DetectorConfig

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data.masks_per_image < 1:
            raise InputError("masks_per_image is at least 1: a detector learns from masks")
        if not self.data.images_stay:
            raise InputError(
                "a detector learns from kept embeddings of images that stay the same: turn augmentation and pasting off"
            )
        if self.optimiser.layer_decay != 1:
            raise InputError("layer_decay is for encoders, and a detector has none: set it to 1")
        width = self.model.image_encoder.out_channels
        if self.detector.embedding_width != width:
            raise InputError(
                f"the detector's embedding_width is {self.detector.embedding_width}, but the model's embeddings "
                f"have a width of {width}"
            )

    @property
    def frame(self) -> tuple[int, int]:
        """Size (h, w) of the padded input in pixels."""
        return self.model.image_encoder.image_size
