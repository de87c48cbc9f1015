"""`sam-jax download`: official weights from the web."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class Download:
    """Download official weights, verified; an interrupted download goes on where it stopped."""

    name: Positional[Literal["vit_b", "vit_l", "vit_h"]]
    """The model: 0.4, 1.2 or 2.6 GB."""
    output: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for the file; the default is the user's cache folder."""

    def run(self) -> None:
        """Download and print the file's path."""
        from sam_jax.checkpoints import download

        print(download(self.name, self.output))
