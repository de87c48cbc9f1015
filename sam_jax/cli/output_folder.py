"""The folder that --output names."""

from pathlib import Path

from sam_jax.types import InputError


def check_output_folder(folder: Path) -> None:
    """Refuse early what cannot become the folder of the results.

    Raises:
        InputError: The path is that of a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output {folder} is a file; name a folder")
