"""`sam-jax dataset`: convert training data from one form to another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Build a TFDS data set (ArrayRecord, the schema of `segment_anything`) from a folder of photos and json files.

    Photos that cannot be read are skipped, counted and listed.

    Example: sam-jax dataset build sa1b_download --output data
    """

    action: Annotated[Positional[Literal["build"]], arg(metavar="build")]
    """Read all photos and masks of the folder, and write the undamaged ones."""
    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """Folder of photos, each with the json file of its masks beside it, as in SA-1B. Subfolders are searched, too."""
    output: Annotated[Path, arg(metavar="DIR")]
    """Folder of data sets; the new one becomes DIR/segment_anything/1.0.0."""

    def run(self) -> None:
        """Build the data set, showing progress, and print which photos were skipped."""
        from sam_jax.cli.output_folder import check_output_folder
        from sam_jax.cli.progress_bar import photo_progress
        from sam_jax.data.array_record_builder import build_array_record
        from sam_jax.messages import count

        check_output_folder(self.output)
        with photo_progress() as progress:
            progress.begin(f"reading the photos of {self.folder}")
            report = build_array_record(
                self.folder,
                self.output,
                progress.update,
                on_start=print,
            )
        print(f"wrote {report.folder}: {count(report.written, 'photo')}")
        for heading, reasons in (("skipped", report.skipped), ("notes on", report.notes)):
            if reasons:
                print(f"{heading} {count(len(reasons), 'photo')}:")
                print("\n".join(f"  {reason}" for reason in reasons))
