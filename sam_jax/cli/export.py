"""`sam-jax export`: write a model for use without JAX."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from sam_jax.cli.options import DEFAULT_CHECKPOINT, UNSET, ImageSize, Names
from sam_jax.types import InputError

if TYPE_CHECKING:
    from sam_jax.models import Model


@dataclass(frozen=True, kw_only=True)
class Export:
    """Export a model to ONNX, which other programs and browsers run, or to StableHLO, which needs no model code.

    Example: sam-jax export sam_vit_b_01ec64.pth sam.onnx --part both
    """

    checkpoint: Annotated[
        Positional[Path], arg(metavar="[CHECKPOINT]", help_behavior_hint=UNSET)
    ] = DEFAULT_CHECKPOINT
    """Weights: an official .pth, a Hugging Face folder, a .safetensors file, or `default` for the small model."""
    destination: Annotated[
        Positional[Path | None], arg(metavar="[DST]", help_behavior_hint=UNSET)
    ] = None
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

    page: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=UNSET)] = None
    """Folder to write a web page to that runs the model in a browser, instead of DST."""
    photos: Annotated[Names, arg(help_behavior_hint=UNSET)] = ()
    """Photos that the page offers, embedded now; the page then goes without the image encoder."""
    runtime: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint=UNSET)] = None
    """Folder or .tgz file of the npm package onnxruntime-web for the page; the default is to let npm fetch it."""

    def run(self) -> None:
        """Load, export, and print what was written."""
        if (self.page is None) == (self.destination is None):
            raise InputError("name a file DST to write, or a folder with --page")
        if self.page is None and (self.photos or self.runtime):
            raise InputError("--photos and --runtime are for a page: name its folder with --page")
        from sam_jax.inference import load
        from sam_jax.messages import LifeSigns

        with LifeSigns() as signs:
            signs.begin(f"loading the weights, {self.checkpoint}")
            model = load(self.checkpoint, image_size=self.image_size)
            signs.begin(f"exporting to {self.page or self.destination}")
            files = self._write_page(model) if self.page else self._write_files(model)
        if model.config.prompt_encoder.text_width is not None:
            print("text prompts are left out: an exported decoder takes points, boxes and masks")
        height, width = model.config.image_encoder.image_size
        for file in files:
            megabytes = file.stat().st_size / 1e6
            print(f"wrote {file}: {megabytes:,.1f} MB, input {height}x{width} (h x w)")

    def _write_files(self, model: "Model") -> list[Path]:
        from sam_jax.export.files import export_model

        assert self.destination is not None
        return export_model(
            model,
            self.destination,
            part=self.part,
            masks=self.masks,
            outputs=self.outputs,
            raw=self.raw,
            dtype=self.dtype,
            quantise=self.quantise,
        )

    def _write_page(self, model: "Model") -> list[Path]:
        from sam_jax.export.web_page import write_page

        assert self.page is not None
        photos = [Path(name) for name in self.photos]
        write_page(model, self.page, photos=photos, runtime=self.runtime)
        return sorted(self.page.glob("*.onnx"))
