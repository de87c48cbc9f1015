"""The cache of compiled programs, which makes a second start fast."""

import atexit
import os
import threading
import time
from pathlib import Path

import platformdirs

from sam_jax.storage import BucketPath, copy_file, locate, make_folder
from sam_jax.types import RunError

UPLOAD_SECONDS = 30
"""Time between two looks for programs that are new to a cache in a bucket."""
_SETTLED_SECONDS = 5
"""Age of a file that JAX is surely not writing any more."""


def compilation_cache_folder() -> Path:
    """Folder of compiled programs: JAX_COMPILATION_CACHE_DIR, or one in the user's cache folder."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return locate(chosen) if chosen else platformdirs.user_cache_path("sam_jax") / "compiled"


def keep_compiled_programs() -> None:
    """Have JAX store the programs that it compiles, and look for stored ones first.

    A cache in a bucket is copied to the user's cache folder first, and programs that are compiled later are uploaded
    while the program runs, so that hosts that start with an empty disk compile nothing a second time.
    """
    import jax

    folder = compilation_cache_folder()
    if isinstance(folder, BucketPath):
        folder = _share(folder, platformdirs.user_cache_path("sam_jax") / "compiled-shared")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _share(shared: BucketPath, local: Path) -> Path:
    """Copy a shared cache to a local folder, and see to it that new programs are copied back."""
    make_folder(local)
    known = set(shared.list_below())
    for name in known - set(os.listdir(local)):
        copy_file(shared / name, local / name)

    def upload(settled_seconds: float) -> None:
        for file in local.iterdir():
            age = time.time() - file.stat().st_mtime
            if file.name not in known and file.name.endswith("-cache") and age >= settled_seconds:
                copy_file(file, shared / file.name)
                known.add(file.name)

    def keep_uploading() -> None:
        while True:
            time.sleep(UPLOAD_SECONDS)
            try:
                upload(_SETTLED_SECONDS)
            except (OSError, RunError):  # a later look may find the bucket within reach
                continue

    def upload_the_last() -> None:
        try:
            upload(0)
        except (OSError, RunError):  # a cache may lack a program
            return

    threading.Thread(target=keep_uploading, daemon=True).start()
    atexit.register(upload_the_last)
    return local
