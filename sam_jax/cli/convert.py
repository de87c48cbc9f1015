"""`sam-jax convert`: convert weights from one format to another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sam_jax.cli.options import ImageSize


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert weights into a .safetensors file, an official .pth file, or a Hugging Face folder.

    Example: sam-jax convert sam_vit_b_01ec64.pth sam_vit_b.safetensors
    """

    source: Annotated[Positional[str], arg(metavar="SRC")]
    """A PyTorch or .safetensors file, a Hugging Face folder, or `default` for the weights that come with sam-jax."""
    destination: Annotated[Positional[Path], arg(metavar="DST")]
    """File to write, whose ending, .safetensors or .pth, decides the format; a Hugging Face folder has no ending."""
    image_size: ImageSize = None
    """New size of the model's input in pixels: the tables of positions are interpolated. The default keeps the size."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Type of the numbers in the file. The 16-bit types save space; loaded weights are float32 again."""

    def run(self) -> None:
        """Read, convert and write the weights, and print what was written."""
        from sam_jax.checkpoints import convert_checkpoint, name_variant, read_origin
        from sam_jax.messages import LifeSigns

        with LifeSigns() as signs:
            signs.begin(f"converting {self.source}")
            config = convert_checkpoint(
                self.source, self.destination, image_size=self.image_size, dtype=self.dtype
            )
        print(f"wrote {self.destination}: {name_variant(config)}")
        if origin := str(read_origin(self.source)):
            print(f"in {self.source}, {origin}")
