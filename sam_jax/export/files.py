"""Exporting a model to files, which appear whole or not at all."""

import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sam_jax.export.options import DecoderOptions
from sam_jax.models import Model
from sam_jax.storage import atomic_file
from sam_jax.types import InputError

ONNX, STABLEHLO = ".onnx", ".stablehlo"


def export_model(
    model: Model,
    path: str | os.PathLike[str],
    *,
    part: str = "decoder",
    masks: str = "all",
    outputs: str = "full",
    raw: bool = False,
    dtype: str = "float32",
    quantise: bool = False,
) -> list[Path]:
    """Write a model, or a part of it, for use without JAX or without this package's code.

    Args:
        model: Model with its weights.
        path: File to write, which must not exist. `.onnx` is for runtimes of ONNX; encoder and decoder are two files,
            so "both" puts "_encoder" and "_decoder" into the name. `.stablehlo` is for `sam_jax.load_exported`.
        part: Which part is exported.
        masks: Which masks the decoder gives: "all" four, the one for several prompts together first; "multi" for the
            other three; "single" for one, chosen as the official exporter does.
        outputs: What an ONNX decoder gives: "full", "low" without masks at the photo's size, or "cvat" (see
            `DecoderOptions`).
        raw: Whether the ONNX encoder takes photos of any size, and resizes, normalises and pads them.
        dtype: In `.onnx`, the type in which weights are stored, float32 or float16; all is computed in float32. In
            `.stablehlo`, the type in which is computed, float32 or bfloat16.
        quantise: Whether products of an ONNX model are computed with integers of 8 bits, by onnxruntime's dynamic
            quantisation.

    Returns:
        The files that were written.

    Raises:
        InputError: The path exists or has another ending, options don't go together, or the model has an operation
            that cannot be exported.
        RunError: The disk refuses the file.
    """
    path = Path(path)
    places = _name_files(path, part)
    if path.suffix == STABLEHLO:
        _check_stablehlo(path, outputs, raw, dtype, quantise)
    else:
        _check_onnx(path, dtype, quantise)
    for place in places.values():
        if os.path.lexists(place):
            raise InputError(f"{place} exists; name another file, or delete it")
    if path.suffix == STABLEHLO:
        from sam_jax.export.stablehlo import write_stablehlo

        parts = ("encoder", "decoder") if part == "both" else (part,)
        model = replace(model, compute=replace(model.compute, dtype=dtype, attention="strips"))
        with atomic_file(path) as file:
            write_stablehlo(file, model, parts=parts, masks=masks)
        return [path]
    from sam_jax.export.onnx_models import make_decoder, make_encoder

    made: dict[Path, Any] = {}
    for name, place in places.items():
        if name == "encoder":
            onnx_model = make_encoder(model, raw=raw, dtype=dtype)
        else:
            options = DecoderOptions(masks=masks, outputs=outputs)
            onnx_model = make_decoder(model, options, dtype=dtype)
        made[place] = _quantise(onnx_model) if quantise else onnx_model.SerializeToString()
    for place, content in made.items():
        with atomic_file(place) as file:
            file.write(content)
    return list(made)


def _name_files(path: Path, part: str) -> dict[str, Path]:
    """The file of each part."""
    if part not in ("decoder", "encoder", "both"):
        raise InputError(f"part is decoder, encoder or both, not {part!r}")
    if part != "both" or path.suffix == STABLEHLO:
        return {part: path}
    return {
        name: path.with_name(f"{path.stem}_{name}{path.suffix}") for name in ("encoder", "decoder")
    }


def _check_onnx(path: Path, dtype: str, quantise: bool) -> None:
    if path.suffix != ONNX:
        raise InputError(
            f"cannot tell the format of {path}: a file ends in {ONNX}, or in {STABLEHLO} for sam_jax.load_exported"
        )
    if dtype not in ("float32", "float16"):
        raise InputError(f"weights in an ONNX file are float32 or float16, not {dtype}")
    if quantise and dtype != "float32":
        raise InputError(f"quantise makes 8 bits of float32; leave out dtype {dtype}")


def _check_stablehlo(path: Path, outputs: str, raw: bool, dtype: str, quantise: bool) -> None:
    of_onnx: Sequence[tuple[str, bool]] = (
        ("outputs", outputs != "full"),
        ("raw", raw),
        ("quantise", quantise),
    )
    named = [name for name, is_given in of_onnx if is_given]
    if named:
        raise InputError(f"{', '.join(named)}: only for {ONNX} files, not for {path}")
    if dtype not in ("float32", "bfloat16"):
        raise InputError(f"a {STABLEHLO} file computes in float32 or bfloat16, not {dtype}")


def _quantise(model: Any) -> bytes:
    """The model with products of integers of 8 bits, by onnxruntime's own tools."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)  # it advises another tool, of no use for these models
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "quantised.onnx"
            # Unsigned, as the official script has it: products of signed integers overflow on CPUs without VNNI.
            quantize_dynamic(model, path, weight_type=QuantType.QUInt8)
            return path.read_bytes()
    finally:
        logging.disable(logging.NOTSET)
