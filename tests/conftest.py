"""What holds in every test: several devices, equal programs compiled once, no silent promotion of dtypes or ranks."""

import atexit
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

# Compiling takes most of the time, and most of that goes into making programs fast that run once. Tests of parity are
# for what users get: `make test` runs them apart, without the second and third.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=8"
    " --xla_backend_optimization_level=0"
    " --xla_cpu_use_fusion_emitters=false",
)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Every worker has a core or less for itself: threads of OpenMP (PyTorch, BLAS) would wait for each other in loops.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax  # after what it reads: the flags, and through NumPy the number of threads
import pytest
from hypothesis import settings

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Where this is set, every program that the tests start would compile this package's Python anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

if "PYTEST_XDIST_WORKER" not in os.environ:
    # One folder for this run, all its workers and the programs that they start: in one that is kept, the files of
    # programs that run with other settings would be in JAX's way, and it would warn.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="sam_jax-compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

CACHE = {
    "jax_compilation_cache_dir": os.environ["JAX_COMPILATION_CACHE_DIR"],
    # JAX keeps two processes from meeting in one file only where the folder's size is limited.
    "jax_compilation_cache_max_size": 4 << 30,
    "jax_persistent_cache_min_compile_time_secs": 0.3,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
for name, value in CACHE.items():
    os.environ[name.upper()] = str(value)
    jax.config.update(name, value)

# The same examples in every run, and no limit on the time of one, since the first compiles.
settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.load_profile("reproducible")


OBJECT_STORE = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://{}:{}".format(*server.get_host_and_port()), flush=True)
sys.stdin.read()
"""
"""A server of the S3 protocol in a process of its own, which ends with the tests."""


@pytest.fixture(scope="session")
def object_store():
    """The environment in which s3:// leads to a real server on this machine, with a bucket `pod`."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", OBJECT_STORE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        address = server.stdout.readline().strip()
        request = urllib.request.Request(f"{address}/pod", method="PUT")
        urllib.request.urlopen(request).close()
        settings = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "us-east-1",
        }
        with pytest.MonkeyPatch.context() as environment:
            for name, value in settings.items():
                environment.setenv(name, value)
            yield settings
        server.stdin.close()


@pytest.fixture(scope="session")
def google_store():
    """The environment in which gs:// leads to a real server on this machine, with a bucket `pod`."""
    with subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore",
            str(Path(__file__).parent / "storage" / "google_store.py"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        address = server.stdout.readline().strip()
        account = {
            **{"gcs_base_url": address, "disable_oauth": True},
            **{"client_email": "", "private_key": "", "private_key_id": ""},
        }
        settings = {
            "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account),
            "GOOGLE_ALLOW_HTTP": "true",
            "TENSORSTORE_GCS_HTTP_URL": address,
            "STORAGE_EMULATOR_HOST": address,
            "GOOGLE_CLOUD_PROJECT": "pod",
        }
        with pytest.MonkeyPatch.context() as environment:
            for name, value in settings.items():
                environment.setenv(name, value)
            yield settings
        server.stdin.close()


@pytest.fixture
def google_bucket(google_store, request):
    """The address of an empty folder in a bucket of Google's protocol."""
    return f"gs://pod/{request.node.name}"


@pytest.fixture
def bucket(object_store, request):
    """The address of an empty folder in a bucket."""
    return f"s3://pod/{request.node.nodeid.replace('/', '-')}"


@pytest.fixture
def full_disk(monkeypatch):
    """Makes blocks in which no file of this process can grow beyond 16 bytes.

    Python does not notice that a module's bytecode was cut short, so none is written.
    """

    @contextlib.contextmanager
    def limit():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit
