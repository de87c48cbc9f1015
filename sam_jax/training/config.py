"""What a training run is: everything that its result depends on, and how it is computed, kept and reported."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sam_jax.data.augmentation import Augmentation
from sam_jax.data.pasting import Pasting
from sam_jax.models import SamConfig
from sam_jax.training.optimiser import OptimiserConfig, StepDecay
from sam_jax.training.rounds import Interaction
from sam_jax.types import InputError


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Pictures drawn by the computer.

    Attributes:
        weight: how often they are drawn, relative to the other sources.
        augmentation: how they are varied.
        pasting: of things into them.
        seed: of the stream.
        size: (h, w) of a picture in pixels.
        textures: folder of photos whose pieces serve as textures.
        plain: share of pictures that are nothing but flat shapes in plain colours.
        plain_contrast: of textures that those shapes may have, as a share of their brightness.
        repeat: draw so many pictures, keep them in memory, and use them again and again; None for no picture twice.
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
class Stored:
    """A data set on disk, in any form that `sam_jax.data.sources` knows.

    Attributes:
        path: where it is.
        weight: how often its images are drawn, relative to the other sources.
        augmentation: how they are varied.
        pasting: of things into them.
        hold_back: every so manieth image, from the first on, takes no part in training; 0 for none.
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
    """Images and masks.

    Attributes:
        sources: where they come from, mixed by weight.
        batch_size: images of a step, over all devices.
        masks_per_image: drawn of each.
        seed: of the order of images and of all that is drawn about them.
    """

    sources: tuple[Synthetic | Stored, ...]
    batch_size: int
    masks_per_image: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sources:
            raise InputError("sources is empty: name at least one")
        if self.batch_size < 1 or self.masks_per_image < 1:
            raise InputError(
                f"batch_size {self.batch_size} and masks_per_image {self.masks_per_image} are at least 1"
            )
        if any(source.weight <= 0 for source in self.sources):
            raise InputError("every source has a weight above 0; leave out what is not wanted")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How steps are computed; results don't depend on it beyond rounding.

    Attributes:
        dtype: of activations and products, float32 or bfloat16; weights are always float32.
        remat: the encoder's blocks are computed again in the backward pass, for less memory.
        scan_blocks: runs of equal blocks are compiled once, for less time to the first step.
        micro_batches: parts of a device's share of a batch that are computed one after another, for less memory.
        parameters: every device holds them all (replicated), or each a part (sharded).
        data_workers: processes that read data; 0 reads in between steps.
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    scan_blocks: bool = False
    micro_batches: int = 1
    parameters: Literal["replicated", "sharded"] = "replicated"
    data_workers: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise InputError(f"dtype is float32 or bfloat16, not {self.dtype!r}")
        if self.parameters not in ("replicated", "sharded"):
            raise InputError(f"parameters is replicated or sharded, not {self.parameters!r}")
        if self.micro_batches < 1 or self.data_workers < 0:
            raise InputError(
                f"micro_batches {self.micro_batches} is at least 1, data_workers {self.data_workers} at least 0"
            )


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """What a run leaves behind on its way.

    Attributes:
        metrics_every: steps from one line of metrics to the next.
        pictures_every: steps from one picture to the next; 0 for none.
        checkpoint_every: steps from one checkpoint to the next.
        checkpoints_kept: the newest so many.
        weights_every: steps from one file of weights, which stays, to the next; 0 for one at the end.
    """

    metrics_every: int = 10
    pictures_every: int = 500
    checkpoint_every: int = 500
    checkpoints_kept: int = 2
    weights_every: int = 0

    def __post_init__(self) -> None:
        for name in ("metrics_every", "checkpoint_every", "checkpoints_kept"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is at least 1, not {getattr(self, name)}")
        for name in ("pictures_every", "weights_every"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is at least 0 (never), not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A run.

    Attributes:
        model: sizes.
        data: images and masks.
        steps: of the whole run.
        optimiser: how weights move.
        interaction: how sessions are simulated.
        start_from: weights to start from; None for random ones.
        frozen: patterns of parameters that don't train, like `image_encoder/*`.
        drop_path: chance to leave out a branch of the encoder's last block; less in those before.
        seed: of random weights and of all that is drawn on the device.
        cache_embeddings: compute every image's embedding once and keep it on disk, which goes with a frozen encoder
            and no augmentation.
        execution: how it is computed.
        reporting: what it leaves behind.
    """

    model: SamConfig
    data: DataConfig
    steps: int
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    interaction: Interaction = field(default_factory=Interaction)
    start_from: str | None = None
    frozen: tuple[str, ...] = ()
    drop_path: float = 0.0
    seed: int = 0
    cache_embeddings: bool = False
    execution: Execution = Execution()
    reporting: Reporting = Reporting()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"steps is at least 1, not {self.steps}")
        if not 0 <= self.drop_path < 1:
            raise InputError(f"drop_path is from 0 to below 1, not {self.drop_path}")
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
        if self.cache_embeddings and any(
            s.augmentation != Augmentation() or s.pasting for s in self.data.sources
        ):
            raise InputError(
                "cache_embeddings needs images that stay the same: turn augmentation and pasting off, or the cache"
            )
        if self.cache_embeddings and self.drop_path > 0:
            raise InputError(
                "cache_embeddings leaves no encoder to apply drop_path in: set one of them off"
            )


_FREE_TO_CHANGE = ("execution", "reporting")


def describe_config(config: TrainConfig) -> dict[str, Any]:
    """The config as JSON has it."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def find_differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What of two descriptions differs and makes another result, one text for each setting."""

    def flatten(node: Any, path: str = "") -> dict[str, Any]:
        items: Sequence[tuple[Any, Any]] = []
        if isinstance(node, dict):
            items = list(node.items())
        elif isinstance(node, list) and any(isinstance(item, dict) for item in node):
            items = list(enumerate(node))
        if not items:
            return {path: node}
        flat = {}
        for key, item in items:
            flat |= flatten(item, f"{path}.{key}" if path else str(key))
        return flat

    flat_before, flat_now = (
        flatten({key: item for key, item in tree.items() if key not in _FREE_TO_CHANGE})
        for tree in (before, now)
    )
    missing = "not set"
    return [
        f"{name} was {flat_before.get(name, missing)} and is now {flat_now.get(name, missing)}"
        for name in sorted({*flat_before, *flat_now})
        if flat_before.get(name, missing) != flat_now.get(name, missing)
    ]
