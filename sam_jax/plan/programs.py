"""The programs of training and inference as they will run on other machines, traced with shapes in place of data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding
from jax.stages import Traced

from sam_jax.data.example import Batch
from sam_jax.distributed import DEVICES, device_mesh
from sam_jax.distributed.chips import Topology
from sam_jax.inference.steps import embed_images, predict_masks
from sam_jax.models import (
    ON_ACCELERATOR,
    Compute,
    Model,
    abstract_variables,
    default_compute,
    encode_image,
    suit,
)
from sam_jax.training.config import DetectionConfig, RunSettings, TrainConfig
from sam_jax.training.embeddings import EmbeddedBatch
from sam_jax.training.preparation import prepare
from sam_jax.types import InputError, Prompts

Part = Literal["train", "encode", "decode", "generate"]
"""What is planned: a training step, encoding images, decoding prompts, or masks of everything in a photo."""
POINTS_PER_CLICK = 2
"""A click, and the point that stands for no box."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to plan.

    Attributes:
        config: Training configuration, whose model and computation count for inference, too.
        topology: The chips.
        part: What they are to do.
        images: Number of images that each chip encodes together.
        prompts: Number of prompts that each chip decodes together.
        points_per_side: Points along each side of the grid of prompts of `generate`.

    Raises:
        InputError: A number is below one, or the part is not one of this configuration.
    """

    config: RunSettings
    topology: Topology
    part: Part = "train"
    images: int = 1
    prompts: int = 64
    points_per_side: int = 32

    def __post_init__(self) -> None:
        for name in ("images", "prompts", "points_per_side"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is at least 1, not {getattr(self, name)}")
        if isinstance(self.config, DetectionConfig):
            raise InputError("a detector learns on one device in minutes: there is nothing to plan")
        if self.part != "train" and not isinstance(self.config, TrainConfig):
            raise InputError(f"{self.part} needs a config of Segment Anything")


class Program(NamedTuple):
    """A program that is traced.

    Attributes:
        name: Name of the program, such as encode.
        trace: Traces it.
        calls: How often it runs for `work`.
        held: Bytes of its arguments on each chip, where several chips divide them; None where each has all.
        devices: Number of chips that divide its work; the others run the same program on work of their own.
    """

    name: str
    trace: Callable[[], Traced]
    calls: int
    held: float | None
    devices: int


def suited_compute(config: RunSettings, topology: Topology, *, training: bool) -> Compute:
    """How a model is computed on the chips of a topology, with attention that fits them.

    GPUs have attention in strips here: cuDNN's kernel cannot be traced without one.
    """
    compute = config.execution.compute
    if compute is None:
        on_cpu = topology.platform == "cpu"
        compute = default_compute(training=training) if on_cpu else ON_ACCELERATOR
    return suit(compute, topology)


def make_programs(request: Request, devices: Sequence[Any] | None) -> list[Program]:
    """The programs of a part.

    Args:
        request: What to plan.
        devices: Devices of the topology to compile for; None for programs that are only traced.

    Raises:
        InputError: The batch cannot be divided over the chips, or the configuration contradicts itself.
    """
    if request.part == "train":
        return [_training(request, devices)]
    config = request.config
    assert isinstance(config, TrainConfig)
    compute = suited_compute(config, request.topology, training=False)
    device = None if devices is None else devices[0]
    sharding = None if device is None else SingleDeviceSharding(device)

    def on_device(tree: Any) -> Any:
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
        )

    model = Model(config.model, on_device(abstract_variables(config.model)), compute)
    encode = _encoding(model, request.images, on_device)
    if request.part == "encode":
        return [encode]
    points = request.prompts
    calls = 1
    if request.part == "generate":
        total = request.points_per_side**2
        points = min(points, total)
        calls = request.images * -(-total // points)
    decode = _decoding(model, points, calls, on_device)
    return [decode] if request.part == "decode" else [encode, decode]


def count_items(request: Request) -> int:
    """Images, or prompts of `decode`, that all chips are done with when each program ran as often as it says."""
    if request.part == "train":
        return request.config.data.batch_size
    each = request.prompts if request.part == "decode" else request.images
    return each * request.topology.size


def _training(request: Request, devices: Sequence[Any] | None) -> Program:
    config, topology = request.config, request.topology
    compute = suited_compute(config, topology, training=True)
    config = replace(config, execution=replace(config.execution, compute=compute))
    together = config.execution.sharded_over or topology.size
    mesh: Any = AbstractMesh((topology.size // together, together), DEVICES)
    if devices is not None:
        mesh = device_mesh(devices, together)
    prepared = prepare(config, mesh)
    batch = _batch(config, prepared.abstract_state, compute)
    held = _bytes_on_chip(prepared.abstract_state, prepared.specs, mesh)
    held += _bytes(batch) / topology.size
    return Program(
        "train",
        lambda: prepared.train_step.trace(prepared.abstract_state, batch),  # pyright: ignore[reportFunctionMemberAccess]
        1,
        held,
        topology.size,
    )


def _batch(config: RunSettings, state: Any, compute: Compute) -> Batch | EmbeddedBatch:
    shape = jax.ShapeDtypeStruct
    b, n, (h, w) = config.data.batch_size, config.data.masks_per_image, config.frame
    fitted = shape((b, 2), jnp.int32)
    masks, valid = shape((b, n, h // 4, w // 4), jnp.bool_), shape((b, n), jnp.bool_)
    if isinstance(config, TrainConfig) and config.cache_embeddings:
        model = Model(config.model, {"params": state.params, **state.constants}, compute)
        embeddings = jax.eval_shape(encode_image, model, shape((b, h, w, 3), jnp.float32))
        return EmbeddedBatch(embeddings, fitted, masks, valid)  # pyright: ignore[reportArgumentType]
    images = shape((b, h, w, 3), jnp.uint8)
    return Batch(images, fitted, masks, valid)  # pyright: ignore[reportArgumentType]


def _encoding(model: Model, images: int, on_device: Callable[[Any], Any]) -> Program:
    h, w = model.config.image_encoder.image_size
    framed = jax.ShapeDtypeStruct((images, h, w, 3), jnp.uint8)
    fitted = jax.ShapeDtypeStruct((images, 2), jnp.int32)
    arguments = (model, *on_device((framed, fitted)))
    return Program("encode", lambda: embed_images.trace(*arguments), 1, None, 1)


def _decoding(model: Model, points: int, calls: int, on_device: Callable[[Any], Any]) -> Program:
    h, w = model.config.image_encoder.image_size
    pixels = jax.ShapeDtypeStruct((1, h, w, 3), jnp.float32)
    embedding = jax.eval_shape(encode_image, model, pixels)
    prompts = Prompts(
        jax.ShapeDtypeStruct((1, points, POINTS_PER_CLICK, 2), jnp.float32),  # pyright: ignore[reportArgumentType]
        jax.ShapeDtypeStruct((1, points, POINTS_PER_CLICK), jnp.int32),  # pyright: ignore[reportArgumentType]
    )
    arguments = (model, *on_device((embedding, prompts)))
    return Program(
        "decode",
        lambda: predict_masks.trace(*arguments, multimask_output=True),
        calls,
        None,
        1,
    )


def _bytes(tree: Any) -> float:
    return float(sum(leaf.size * _width(leaf) for leaf in jax.tree.leaves(tree)))


def _width(leaf: Any) -> int:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return 8 if is_key else np.dtype(leaf.dtype).itemsize


def _bytes_on_chip(tree: Any, specs: Any, mesh: Mesh | AbstractMesh) -> float:
    def part(spec: PartitionSpec, leaf: Any) -> float:
        shape = NamedSharding(mesh, spec).shard_shape(leaf.shape)
        return float(np.prod(shape)) * _width(leaf)

    return sum(jax.tree.leaves(jax.tree.map(part, specs, tree)))
