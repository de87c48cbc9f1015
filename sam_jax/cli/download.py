"""`sam-jax download`: download official weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sam_jax.cli.options import UNSET


@dataclass(frozen=True, kw_only=True)
class Download:
    """Download official weights and verify them. An interrupted download goes on where it stopped."""

    name: Positional[
        Literal[
            "vit_b",
            "vit_l",
            "vit_h",
            "clip_vit_b_32",
            "clip_vit_b_16",
            "clip_vit_l_14",
            "clip_vit_l_14_336",
        ]
    ]
    """Model to download: vit_b has 0.4 GB, vit_l 1.2 GB, vit_h 2.6 GB; CLIPs, for phrases, have 0.4 or 0.9 GB."""
    output: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=UNSET)] = None
    """Folder of the file; the default is the user's cache folder."""

    def run(self) -> None:
        """Download the file and print its path."""
        from sam_jax.checkpoints import download

        print(download(self.name, self.output))
