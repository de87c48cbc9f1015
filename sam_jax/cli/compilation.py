"""The cache of compiled programs, which makes a second start fast."""

import os
from pathlib import Path

import platformdirs


def compilation_cache_folder() -> Path:
    """Folder of compiled programs: JAX_COMPILATION_CACHE_DIR, or one in the user's cache folder."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return Path(chosen) if chosen else platformdirs.user_cache_path("sam_jax") / "compiled"


def keep_compiled_programs() -> None:
    """Have JAX store the programs that it compiles, and look for stored ones first."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(compilation_cache_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
