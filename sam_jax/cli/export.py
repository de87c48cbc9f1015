"""`sam-jax export`: write a model for use without JAX."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sam_jax.cli.options import ImageSize


@dataclass(frozen=True, kw_only=True)
class Export:
    """Export a model to ONNX, which other programs and browsers run, or to StableHLO, which needs no model code.

    Example: sam-jax export sam_vit_b_01ec64.pth sam.onnx --part both
    """

    checkpoint: Annotated[Positional[Path], arg(metavar="CHECKPOINT")]
    """Weights: an official .pth, a Hugging Face folder, a .safetensors file, or `default` for the small model."""
    destination: Annotated[Positional[Path], arg(metavar="DST")]
    """File to write, which must not exist; its ending, .onnx or .stablehlo, decides the format."""
    part: Literal["decoder", "encoder", "both"] = "decoder"
    """What is exported. Of .onnx, `both` writes two files, DST with _encoder and _decoder before the ending."""
    masks: Literal["all", "multi", "single"] = "all"
    """Masks of a prompt: all four, as the official exporter; three; or one, as its --return-single-mask."""
    outputs: Literal["full", "low", "cvat"] = "full"
    """What an ONNX decoder gives: also masks at the photo's size; low-resolution masks only; or what CVAT expects."""
    raw: bool = False
    """Whether the ONNX encoder takes photos of any size instead of normalised, padded images."""
    image_size: ImageSize = None
    """Size of the model's input in pixels. The default is the checkpoint's; many tools expect 1024."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Type of stored weights in .onnx (float32, float16), or of the computation in .stablehlo (float32, bfloat16)."""
    quantise: bool = False
    """Whether products of an ONNX model are computed in 8 bits: a quarter of the size; masks differ a little."""

    def run(self) -> None:
        """Load, export, and print what was written."""
        from sam_jax.export.files import export_model
        from sam_jax.inference import load
        from sam_jax.messages import LifeSigns

        with LifeSigns() as signs:
            signs.begin(f"loading the weights, {self.checkpoint}")
            model = load(self.checkpoint, image_size=self.image_size)
            signs.begin(f"exporting to {self.destination}")
            files = export_model(
                model,
                self.destination,
                part=self.part,
                masks=self.masks,
                outputs=self.outputs,
                raw=self.raw,
                dtype=self.dtype,
                quantise=self.quantise,
            )
        height, width = model.config.image_encoder.image_size
        for file in files:
            print(
                f"wrote {file}: {file.stat().st_size / 1e6:,.1f} MB, input {height}x{width} (h x w)"
            )
