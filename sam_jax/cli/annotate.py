"""`sam-jax annotate`: mask photos in a browser, and move masks between its database and files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from sam_jax.cli.options import UNSET

if TYPE_CHECKING:
    from sam_jax.data_engine.database import Database

_GIGABYTE = 1e9


@dataclass(frozen=True, kw_only=True)
class Annotate:
    """Mask the photos of a folder by clicks, in a browser on this machine or on others.

    Every change is saved as it is made. Masks are kept in PHOTOS/annotations.sqlite; `sam-jax finetune` and `sam-jax
    evaluate` take that file as a data set.

    Example: sam-jax annotate photos
    """

    photos: Annotated[Positional[Path], arg(metavar="PHOTOS")]
    """Folder of the photos, whose subfolders are searched, too."""
    database: Annotated[str | None, arg(metavar="FILE or ADDRESS", help_behavior_hint=UNSET)] = None
    """Database of the masks: an SQLite file, or postgresql+psycopg://USER:PASSWORD@HOST/NAME for several machines. The
    default is PHOTOS/annotations.sqlite."""
    checkpoint: Annotated[Path | None, arg(metavar="C", help_behavior_hint=UNSET)] = None
    """Weights to begin with: an official .pth, a Hugging Face folder, a .safetensors, or `default`, which comes with
    sam-jax and is what is taken without this option. Weights that the database knows already change nothing: the
    version in use answers, which sam-jax engine train and use decide."""
    host: str = "127.0.0.1"
    """Address to listen at. With another than this machine's own, browsers need the token that is printed."""
    port: int = 8765
    """Port to listen at; 0 for any that is free."""
    token: Annotated[str | None, arg(metavar="TEXT", help_behavior_hint=UNSET)] = None
    """Token that browsers show. The default is a new one for each start, where one is needed."""
    no_browser: FlagCreatePairsOff[bool] = False
    """Print the address, and open no browser."""
    embeddings_gb: float = 4.0
    """Gigabytes that embeddings of photos, in the user's cache folder, take at most."""
    decode_in_browser: FlagCreatePairsOff[bool] = False
    """Let browsers turn clicks into masks by themselves where somebody switches that on at the page (D)."""
    runtime: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint=UNSET)] = None
    """Folder or .tgz file of the npm package onnxruntime-web for --decode-in-browser; the default is to let npm fetch
    it."""
    import_: Annotated[
        Path | None, arg(name="import", metavar="DATA_SET", help_behavior_hint=UNSET)
    ] = None
    """Take the masks of a data set over into the database, and end: a folder in SA-1B's form, a COCO json file, photos
    with label maps, or any other form that training reads."""
    export: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=UNSET)] = None
    """Write the masks to a new folder, and end."""
    form: Literal["sa1b", "coco", "labels"] = "sa1b"
    """Form of --export: a json file beside each photo, one COCO json file, or a label map for each photo."""
    backup: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint=UNSET)] = None
    """Write a copy of the SQLite database, and end; others may be at work meanwhile."""

    def run(self) -> None:
        """Serve the page, or do what --import, --export and --backup say.

        Raises:
            InputError: An option is wrong, or there are no photos.
            RunError: Something could not be done as a whole; the last line says what is left.
        """
        from sam_jax.data_engine.database import FILE_NAME, Database
        from sam_jax.types import InputError

        given = [value for value in (self.import_, self.export, self.backup) if value is not None]
        if len(given) > 1:
            raise InputError("--import, --export and --backup are separate: give one at a time")
        if self.runtime is not None and not self.decode_in_browser:
            raise InputError("--runtime is for --decode-in-browser: give both, or neither")
        if not self.photos.is_dir():
            raise InputError(f"no such folder: {self.photos}")
        if not self.embeddings_gb > 0:
            raise InputError("--embeddings-gb is more than 0")
        database = Database(self.database or self.photos / FILE_NAME)
        try:
            if self.backup is not None:
                database.back_up(self.backup)
                print(f"wrote {self.backup}")
            elif self.import_ is not None:
                self._import(database, self.import_)
            elif self.export is not None:
                self._export(database, self.export)
            else:
                self._serve(database)
        finally:
            database.close()

    def _serve(self, database: "Database") -> None:
        import platformdirs

        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.data.folders import list_photos
        from sam_jax.data_engine.serving import ServingConfig, listen, serve
        from sam_jax.messages import print_line

        list_photos(self.photos)  # none is said before the weights are loaded
        listener = listen(self.host, self.port)
        keep_compiled_programs()
        config = ServingConfig(
            host=self.host,
            port=self.port,
            token=self.token,
            opens_browser=not self.no_browser,
            embeddings=platformdirs.user_cache_path("sam_jax") / "embeddings",
            embedding_bytes=int(self.embeddings_gb * _GIGABYTE),
            decodes_in_browser=self.decode_in_browser,
            runtime=self.runtime,
        )
        serve(listener, self.photos, database, self.checkpoint, config, print_line)

    def _import(self, database: "Database", place: Path) -> None:
        from sam_jax.data_engine.masks_in import import_masks
        from sam_jax.messages import count
        from sam_jax.types import RunError

        taken = import_masks(database, self.photos, place)
        print(
            f"took {count(taken.masks, 'mask')} of {count(taken.photos, 'photo')} over from {place}; "
            f"{count(taken.known, 'mask')} were there already"
        )
        if taken.problems:
            raise RunError(
                f"{count(len(taken.problems), 'record')} left out: {'; '.join(taken.problems[:5])}"
            )

    def _export(self, database: "Database", folder: Path) -> None:
        from sam_jax.data_engine.masks_out import export_masks
        from sam_jax.messages import count
        from sam_jax.types import RunError

        written = export_masks(database, self.photos, folder, self.form)
        print(
            f"wrote {count(written.masks, 'mask')} of {count(written.photos, 'photo')} to {folder}"
        )
        if written.problems:
            raise RunError(
                f"{count(len(written.problems), 'photo')} left out: {'; '.join(written.problems[:5])}"
            )
