"""What holds in every test: several devices, equal programs compiled once, no silent promotion of dtypes or ranks."""

import atexit
import os
import shutil
import tempfile

# Compiling takes most of the time, and most of that goes into making programs fast that run once. Tests of parity are
# for what users get: `make test` runs them apart, with flags that leave out the second and third.
FLAGS = (
    "--xla_force_host_platform_device_count=8",
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
)
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))

if "PYTEST_XDIST_WORKER" not in os.environ:
    # One folder for this run, all its workers and the programs that they start. JAX keeps two processes from meeting
    # in one file only where the folder's size is limited.
    compiled = tempfile.mkdtemp(prefix="sam_jax-compiled-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(4 << 30)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax  # after the variables, which it reads

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
