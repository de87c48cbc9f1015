"""Data that a run learns from while people change it."""

from pathlib import Path

SNAPSHOT = "masks.sqlite"
"""Name of the copy of a database's masks in the folder of a run."""


def freeze_data(data: str, output: Path) -> str:
    """The data set that a run learns: of a database that people work on, a copy in the folder of the run.

    The copy is made once, so that the same command goes on with the same masks.

    Args:
        data: Data set in any form that training reads.
        output: Folder of the run.

    Raises:
        InputError: The database has no masks, or the copy cannot be made.
        DatabaseError: The database cannot be read.
        RunError: The disk is full.
    """
    from sam_jax.data.annotation_database import is_database

    if not is_database(data):
        return data
    import contextlib

    from sam_jax.cli.training_command import is_first_process
    from sam_jax.data_engine.snapshots import take_snapshot
    from sam_jax.data_engine.versions import open_existing
    from sam_jax.distributed import wait_for_all
    from sam_jax.storage import make_folder

    path = output / SNAPSHOT
    if is_first_process() and not path.is_file():
        make_folder(output)
        with contextlib.closing(open_existing(data)) as database:
            take_snapshot(database, path, with_automatic=False)
    wait_for_all()
    return str(path)
