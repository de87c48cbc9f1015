"""The wheel, installed into an empty environment outside the checkout: what a user of the package index gets."""

import json
import os
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from sam_jax.data.images import read_mask
from tests.training.conftest import QUICK_AND_ALONE

CHECKOUT = Path(__file__).parents[1]
EXTRAS = ("train", "evaluate")


def run(*command, folder):
    """Run a command in a folder, where nothing of this process' Python is seen, and return what it prints."""
    seen = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=seen | QUICK_AND_ALONE,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def list_requirements(distribution, extras):
    """The distributions of this environment that one asks for, and those that they ask for, and so on."""
    found = {}
    open_ends = [(distribution, frozenset(extras))]
    while open_ends:
        asking, extras = open_ends.pop()
        for requirement in map(Requirement, asking.requires or ()):
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
                continue
            wanted = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if wanted not in found:
                found[wanted] = metadata.distribution(requirement.name)
                open_ends.append((found[wanted], wanted[1]))
    return list(found.values())


def install(folder):
    """Build the wheel, and install it into an environment that has nothing but what its metadata asks for.

    That is linked from the environment of this process: the versions are those that are tested, and nothing is fetched.
    """
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, CHECKOUT, folder=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "environment", symlinks=True)
    programs = folder / "environment" / "bin"
    run(*pip, "--python", programs / "python", "install", "--no-deps", wheel, folder=folder)
    (packages,) = folder.glob("environment/lib/python*/site-packages")
    (ours,) = metadata.distributions(name="sam-jax", path=[str(packages)])
    # JAX shares the tests' folder of compiled programs only with this package.
    lock = metadata.distribution("filelock")
    for distribution in (*list_requirements(ours, EXTRAS), lock):
        for part in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (packages / part).exists():
                (packages / part).symlink_to(distribution.locate_file(part))
    return programs


def draw_photos(folder):
    """Photos 96 wide and 72 high of a red disc before a dark wall, with the maps of the discs; return the discs."""
    discs = []
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    rows, columns = np.mgrid[:72, :96]
    for number in range(2):
        disc = np.hypot(rows - 36, columns - 40 - 10 * number) < 20
        noise = np.random.default_rng(number).integers(0, 40, (72, 96, 3))
        pixels = (noise + np.where(disc[:, :, None], (200, 30, 30), 20)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{number}.png")
        Image.fromarray(disc.astype(np.uint8)).save(folder / f"labels/{number}.png")
        discs.append(disc)
    return discs


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(tmp_path):
    programs = install(tmp_path)
    disc, _ = draw_photos(tmp_path / "discs")

    def sam_jax(*arguments):
        return run(programs / "sam-jax", *arguments, folder=tmp_path)

    where = run(
        programs / "python", "-c", "import sam_jax; print(*sam_jax.__path__)", folder=tmp_path
    )
    assert Path(where.strip()).is_relative_to(programs.parent)

    sam_jax("predict", "discs/images/0.png", "--point", "40,36", "--single", "--output", "masks")
    mask = read_mask(tmp_path / "masks" / "0_mask_0.png")
    assert (mask & disc).sum() / (mask | disc).sum() > 0.9

    short = ("--interaction.iterations", "1", "--interaction.refine-iterations", "0")
    trained = sam_jax("train", "debug", "--steps", "6", *short)
    assert trained == "trained 6 steps: runs/debug/weights.safetensors\n"
    metrics = (tmp_path / "runs/debug/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in metrics] == [5, 6]

    sam_jax("convert", "runs/debug/weights.safetensors", "debug.pth")
    sam_jax("convert", "debug.pth", "again.safetensors")
    weights = (tmp_path / "runs/debug/weights.safetensors").read_bytes()
    assert (tmp_path / "again.safetensors").read_bytes() == weights

    options = ("--clicks", "1", "--no-noc", "--pictures", "0", "--image-size", "128")
    options += ("--output", "points")
    sam_jax("evaluate", "points", "discs=discs", *options)
    (row,) = json.loads((tmp_path / "points" / "results.json").read_text())["tables"][0]["rows"]
    assert (row["images"], row["masks"]) == (2, 2)
    assert row["1 click"] > 0.9
