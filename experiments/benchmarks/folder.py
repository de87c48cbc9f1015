"""`sam-jax generate` on a folder of photos: images a second, memory along the way, and what a kill costs (Linux).

    python -m experiments.benchmarks.folder data/coco_tiny/images [--points-per-side 32] [--threshold 0.4]

The command runs once undisturbed, and once killed (SIGKILL) when half of the photos are done and started again; both
have to end with the same files. The thresholds suit the shipped weights; `--checkpoint` takes others.
"""

import hashlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from sam_jax.data.folders import list_photos
from sam_jax.types import InputError

LOOK_EVERY = 0.05
"""Seconds."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure a run over a folder."""

    photos: Positional[Path]
    """Folder of photos."""
    points_per_side: int = 32
    """Of the grid."""
    threshold: float = 0.4
    """Of predicted IoU and of stability."""
    checkpoint: Path | None = None
    """Weights, if not the shipped ones."""


class Moment(NamedTuple):
    """The state of a run when another photo was done.

    Attributes:
        done: Number of photos that are done.
        seconds: Time since the start.
        megabytes: Resident memory.
    """

    done: int
    seconds: float
    megabytes: float


def start(options: Options, output: Path) -> subprocess.Popen[str]:
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "sam_jax", "generate", str(options.photos)]
    command += ["--output", str(output), "--points-per-side", str(options.points_per_side)]
    command += ["--pred-iou-thresh", str(options.threshold)]
    command += ["--stability-score-thresh", str(options.threshold)]
    if options.checkpoint:
        command += ["--checkpoint", str(options.checkpoint)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def watch(
    process: subprocess.Popen[str], output: Path, is_enough: Callable[[int], bool]
) -> list[Moment]:
    """A moment for each time that photos became done, until it ends or enough are."""
    started, moments = time.perf_counter(), list[Moment]()
    while process.poll() is None:
        done = len(list(output.glob("sa1b/**/*.json")))
        if done > (moments[-1].done if moments else 0):
            moments.append(Moment(done, time.perf_counter() - started, resident(process.pid)))
            if is_enough(done):
                break
        time.sleep(LOOK_EVERY)
    return moments


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def fingerprints(output: Path) -> dict[str, str]:
    """Hashes of all files of the results, by name."""
    files = sorted(path for path in output.glob("sa1b/**/*") if path.is_file())
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def check_end(process: subprocess.Popen[str]) -> None:
    """Wait for the command, and stop if it failed."""
    _, errors = process.communicate()
    if process.returncode:
        sys.exit(f"sam-jax generate ended with {process.returncode}:\n{errors}")


def run_undisturbed(options: Options, output: Path) -> list[Moment]:
    """Moments of a whole run."""
    process = start(options, output)
    moments = watch(process, output, lambda done: False)
    check_end(process)
    return moments


def run_killed(options: Options, output: Path, after: int) -> int:
    """Kill a run after so many photos, and let it go on; how many it had when it died."""
    process = start(options, output)
    watch(process, output, lambda done: done >= after)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed_at = len(list(output.glob("sa1b/**/*.json")))
    check_end(start(options, output))
    return killed_at


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options, description=__doc__)
    try:
        count = len(list_photos(options.photos))
    except InputError as error:
        sys.exit(f"error: {error}")
    console = Console(markup=False, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        whole, resumed = Path(folder, "whole"), Path(folder, "resumed")
        moments = run_undisturbed(options, whole)
        table = Table("photos done", "seconds", "resident memory", box=None)
        for moment in moments:
            if moment.done in (1, 10, 20, 30, 40, 50, count):
                table.add_row(
                    str(moment.done), f"{moment.seconds:.1f}", f"{moment.megabytes:.0f} MB"
                )
        console.print(table)
        first, last = moments[0], moments[-1]
        rate = (last.done - first.done) / (last.seconds - first.seconds)
        console.print(f"{rate:.2f} photos a second after the first")
        killed_at = run_killed(options, resumed, count // 2)
        same = fingerprints(whole) == fingerprints(resumed)
        console.print(
            f"killed with {killed_at} of {count} done, and started again: "
            + ("the same files" if same else "OTHER FILES")
        )
        if not same:
            sys.exit(1)


if __name__ == "__main__":
    main()
