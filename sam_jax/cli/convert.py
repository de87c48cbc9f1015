"""`sam-jax convert`: weights from one format to another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

SHIPPED_WEIGHTS = "default"


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert weights: official .pth, Hugging Face folders and our .safetensors into .safetensors or official .pth."""

    source: Annotated[Positional[str], arg(metavar="SRC")]
    """A .pth file, a .safetensors file, a Hugging Face folder, or `default` for the weights that come with sam-jax."""
    destination: Annotated[Positional[Path], arg(metavar="DST")]
    """The file to write; its ending, .safetensors or .pth, says the format."""
    image_size: Annotated[int | tuple[int, int] | None, arg(metavar="SIDE | H W")] = None
    """Size of the model's input in pixels, if it is to change: positional tables are interpolated."""

    def run(self) -> None:
        """Read, convert, write."""
        from sam_jax.checkpoints import convert_checkpoint, name_variant
        from sam_jax.types import InputError

        if self.source == SHIPPED_WEIGHTS:
            raise InputError(
                "there are no weights in this package yet: give a file, "
                "for example one fetched by `sam-jax download vit_b`"
            )
        config = convert_checkpoint(self.source, self.destination, image_size=self.image_size)
        print(f"wrote {self.destination}: {name_variant(config)}")
