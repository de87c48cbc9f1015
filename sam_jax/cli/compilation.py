"""The cache of compiled programs, which makes a second start fast."""

import atexit
import contextlib
import os
import threading
import time
from pathlib import Path

import platformdirs

from sam_jax.storage import BucketPath, copy_file, locate, make_folder
from sam_jax.types import InputError, RunError

UPLOAD_SECONDS = 30
"""Time between two looks for programs that are new to a cache in a bucket."""
_SETTLED_SECONDS = 5.0
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
        local = platformdirs.user_cache_path("sam_jax") / "compiled-shared"
        SharedCache(folder, local).keep_uploading()
        folder = local
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


class SharedCache:
    """A cache in a bucket, with a copy of it on the local disk that JAX uses.

    Args:
        shared: The folder in the bucket.
        local: The folder of the copy. It is made where it is missing.

    Raises:
        InputError: The local folder cannot be made.
        RunError: The bucket cannot be reached.
    """

    def __init__(self, shared: BucketPath, local: Path) -> None:
        self._shared, self._local = shared, local
        make_folder(local)
        self._known = set(shared.list_below())
        for name in self._known - set(os.listdir(local)):
            copy_file(shared / name, local / name)

    def upload(self, settled_seconds: float = 0.0) -> None:
        """Upload what the bucket lacks and nobody has written to for some seconds; what fails waits for the next."""
        for file in self._local.iterdir():
            is_new = file.name not in self._known and file.name.endswith("-cache")
            if is_new and time.time() - file.stat().st_mtime >= settled_seconds:
                with contextlib.suppress(InputError, RunError):  # a cache may lack a program
                    copy_file(file, self._shared / file.name)
                    self._known.add(file.name)

    def keep_uploading(self) -> None:
        """Upload now and then, and at the program's end."""

        def repeat() -> None:
            while True:
                time.sleep(UPLOAD_SECONDS)
                self.upload(_SETTLED_SECONDS)

        threading.Thread(target=repeat, daemon=True).start()
        atexit.register(self.upload)
