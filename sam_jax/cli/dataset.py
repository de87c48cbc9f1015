"""`sam-jax dataset`: training data from one form to another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Build a TFDS data set (ArrayRecord, the schema of `segment_anything`) from photos with a .json each beside them.

    What cannot be read is skipped, counted, and named.
    """

    action: Annotated[Positional[Literal["build"]], arg(metavar="build")]
    """Read every photo and mask of the folder and write those that are whole."""
    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """Photos and, beside each, the json file of its masks, as SA-1B has them; folders in it are searched, too."""
    output: Annotated[Path, arg(metavar="DIR")]
    """Folder for data sets: this one becomes DIR/segment_anything/1.0.0."""

    def run(self) -> None:
        """Build, showing progress, and say what was left out."""
        from sam_jax.cli.progress_bar import photo_progress
        from sam_jax.data.array_record_builder import build_array_record

        with photo_progress() as progress:
            task = progress.add_task("photos", total=None)
            report = build_array_record(
                self.folder,
                self.output,
                lambda done, total: progress.update(task, completed=done, total=total),
            )
        print(f"wrote {report.folder}: {report.written} photos")
        if report.skipped:
            print(f"skipped {len(report.skipped)} photos:")
            print("\n".join(f"  {reason}" for reason in report.skipped))
