"""`sam-jax convert`: weights from one format to another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

SHIPPED = "default"


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert weights: official .pth, Hugging Face folders and our .safetensors into .safetensors or official .pth."""

    source: Annotated[Positional[str], arg(metavar="SRC")]
    """A .pth file, a .safetensors file, a Hugging Face folder, or `default` for the weights that come with sam-jax."""
    destination: Annotated[Positional[Path], arg(metavar="DST")]
    """The file to write; its ending, .safetensors or .pth, says the format."""
    image_size: Annotated[int | tuple[int, int] | None, arg(metavar="SIDE | H W")] = None
    """Size of the model's input in pixels, if it is to change: positional tables are interpolated."""

    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of the file's numbers. Halves are for keeping: what loads them computes with float32 again."""

    def run(self) -> None:
        """Read, convert, write."""
        from sam_jax.checkpoints import SHIPPED_WEIGHTS, convert_checkpoint, name_variant

        source = SHIPPED_WEIGHTS if self.source == SHIPPED else self.source
        config = convert_checkpoint(
            source, self.destination, image_size=self.image_size, dtype=self.dtype
        )
        print(f"wrote {self.destination}: {name_variant(config)}")
