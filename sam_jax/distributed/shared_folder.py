"""Whether all processes of a run see the same folder."""

import secrets
from pathlib import Path

import jax

from sam_jax.distributed.processes import broadcast_text, gather_texts
from sam_jax.storage import make_folder, write_text
from sam_jax.types import InputError, RunError


def check_shared(folder: Path) -> None:
    """Refuse a folder that is another one on each host; all processes have to call this together.

    The first process writes a file for which the others look.

    Args:
        folder: The folder of the run's results. It is made where it is missing.

    Raises:
        InputError: Some processes don't see what the first one writes, or it cannot write.
    """
    if jax.process_count() == 1:
        return
    path = folder / broadcast_text(f".shared-{secrets.token_hex(6)}")
    problem = ""
    if jax.process_index() == 0:
        try:
            make_folder(folder)
            write_text(path, "")
        except (InputError, RunError) as error:
            problem = str(error)
    if problem := broadcast_text(problem):
        raise InputError(problem)
    seen = gather_texts("seen" if path.exists() else "")
    if jax.process_index() == 0:
        path.unlink(missing_ok=True)
    if not all(seen):
        blind = ", ".join(str(process) for process, word in enumerate(seen) if not word)
        raise InputError(
            f"what process 0 writes to {folder} is not there for process {blind}: the hosts have a disk each. Name a "
            "folder that all of them share, or a bucket, gs://BUCKET/... or s3://BUCKET/..."
        )
