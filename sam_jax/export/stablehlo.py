"""Models as StableHLO, JAX' own exchange format, for servers: programs and weights in one file."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import jax
import jax.export
import jax.numpy as jnp
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Bool, Float, Int, UInt8

import sam_jax
from sam_jax.data.framing import normalise
from sam_jax.export.exported import ABOUT, FORMAT, PROGRAM, WEIGHTS
from sam_jax.export.packing import Packing, find_packing
from sam_jax.export.programs import find_masks
from sam_jax.models import ON_ACCELERATOR, Model, encode_image, without_text
from sam_jax.types import AnyArray, Prompts

PLATFORMS = ("cpu", "cuda", "tpu")
"""What the programs are lowered for."""
FREE_BATCH = "images, prompts, points"
"""Names of the free sizes."""


def write_stablehlo(
    file: BinaryIO,
    model: Model,
    *,
    parts: Sequence[str],
    masks: str = "all",
) -> None:
    """Write programs and weights of a model; `sam_jax.load_exported` reads them.

    Numbers of images, prompts and points are free. The precision is that of `model.compute.dtype`. Text prompts are
    left out.

    Args:
        file: File to write to.
        model: Model with its weights.
        parts: Which of "encoder" and "decoder" the file shall hold.
        masks: "all" for the four masks of every prompt, "multi" for three, "single" for one: the best of three where
            a prompt has one or two points, otherwise the one for several.
    """
    compute = replace(ON_ACCELERATOR, dtype=model.compute.dtype, attention="strips")
    model = without_text(replace(model, compute=compute))
    packing = find_packing(model)
    weights = flatten_dict(model.variables, sep="/")
    about = {
        "format": FORMAT,
        "image_size": model.config.image_encoder.image_size,
        "masks": masks,
        "dtype": compute.dtype,
        "platforms": PLATFORMS,
        "sam_jax": sam_jax.__version__,
        "jax": jax.__version__,
    }
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(ABOUT, json.dumps(about))
        for part in parts:
            make = _export_encoder if part == "encoder" else _export_decoder
            exported = make(model, packing, masks, weights)
            archive.writestr(PROGRAM.format(part), bytes(exported.serialize()))
        needed = {name: jax.device_get(leaf) for name, leaf in weights.items()}
        archive.writestr(WEIGHTS, safetensors.numpy.save(needed))


def _export_encoder(
    model: Model, packing: Packing, masks: str, weights: dict[str, Any]
) -> jax.export.Exported:
    def encode(
        weights: dict[str, Array],
        framed: UInt8[AnyArray, "b h w 3"],
        fitted: Int[AnyArray, "b 2"],
    ) -> Float[Array, "b c gh gw"]:
        here = replace(model, variables=unflatten_dict(weights, sep="/"))

        def encode_one(both: tuple[Array, Array]) -> Array:
            one, size = (array[None] for array in both)
            return packing.pack(encode_image(here, normalise(one, size)))[0]

        # One after another: scores of global attention of many images would not fit.
        return jax.lax.map(encode_one, (framed, fitted))

    (b,) = jax.export.symbolic_shape("images")
    shape = model.config.image_encoder.image_size
    return _export(
        encode,
        weights,
        jax.ShapeDtypeStruct((b, *shape, 3), jnp.uint8),
        jax.ShapeDtypeStruct((b, 2), jnp.int32),
    )


def _export_decoder(
    model: Model, packing: Packing, masks: str, weights: dict[str, Any]
) -> jax.export.Exported:
    def decode(
        weights: dict[str, Array],
        embeddings: Float[AnyArray, "b c gh gw"],
        points: Float[AnyArray, "b n p 2"],
        labels: Int[AnyArray, "b n p"],
        mask_inputs: Float[AnyArray, "b n h w"],
        has_masks: Bool[AnyArray, "b n"],
    ) -> tuple[Float[Array, "b n m h w"], Float[Array, "b n m"]]:
        here = replace(model, variables=unflatten_dict(weights, sep="/"))

        def decode_image(
            embedding: AnyArray, prompts: Prompts, has_masks: AnyArray
        ) -> tuple[Array, Array]:
            one = jax.tree.map(lambda leaf: leaf[None], (embedding, prompts, has_masks))
            return find_masks(here, packing, masks, *one)

        return jax.vmap(decode_image)(embeddings, Prompts(points, labels, mask_inputs), has_masks)

    b, n, p = jax.export.symbolic_shape(FREE_BATCH)
    gh, gw = packing.grid
    return _export(
        decode,
        weights,
        jax.ShapeDtypeStruct((b, packing.channels, gh, gw), jnp.float32),
        jax.ShapeDtypeStruct((b, n, p, 2), jnp.float32),
        jax.ShapeDtypeStruct((b, n, p), jnp.int32),
        jax.ShapeDtypeStruct((b, n, 4 * gh, 4 * gw), jnp.float32),
        jax.ShapeDtypeStruct((b, n), jnp.bool_),
    )


def _export(function: Any, weights: dict[str, Any], *forms: Any) -> jax.export.Exported:
    of_weights = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), weights)
    return jax.export.export(jax.jit(function), platforms=PLATFORMS)(of_weights, *forms)
