"""Runs that are stopped, in every way that there is, and started again."""

import json
import os
import random
import signal
import time

import pytest

pytestmark = pytest.mark.slow

FULL_DISK = """
import resource, signal, sys
sys.dont_write_bytecode = True
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
"""
"""A limit on the size of files stands in for it: metrics still fit, training states don't."""


@pytest.fixture
def draw():
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    return random.Random(seed)


def steps_done(folder):
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("\n")]


def stop_at(process, folder, step, number):
    """Wait for the step, send the signal to all processes of the run, and return what they had printed."""
    deadline = time.monotonic() + 240
    while max(steps_done(folder), default=0) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    print(signal.Signals(number).name, "at step", step)
    os.killpg(process.pid, number)
    return process.communicate(timeout=60)


def saved_states(folder):
    return sorted(
        int(mark.parent.name) for mark in (folder / "states").glob("*/commit_success.txt")
    )


def test_whatever_stops_a_run_it_ends_like_an_undisturbed_one(program, undisturbed, draw, tmp_path):
    """It is killed, terminated and interrupted, each time at another step, and finds the disk full."""
    folder = tmp_path / "run"
    process = program.start(folder, "--execution.data-workers", "1")
    stop_at(process, folder, draw.randint(1, 5), signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    reached = max(saved_states(folder), default=0)

    for number, code, word, workers in (
        (signal.SIGTERM, 128 + signal.SIGTERM, "terminated", 0),
        (signal.SIGINT, 130, "interrupted", 1),
    ):
        step = max(steps_done(folder)) + draw.randint(1, 2)
        process = program.start(folder, "--execution.data-workers", str(workers))
        out, err = stop_at(process, folder, step, number)
        assert process.returncode == code
        assert out == f"{word}: saved in {folder}; the same command goes on from there\n"
        assert "Traceback" not in err
        assert (f"going on from step {reached} in {folder}" in err) == (reached > 0)
        reached = max(steps_done(folder))
        assert saved_states(folder)[-1] == reached < 20
        assert (folder / "weights.safetensors").exists()

    code, out, err = program.run(folder, prelude=FULL_DISK)
    full = 5 * (reached // 5) + 5
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"error: cannot write {folder / 'states' / str(full)}: ")
    assert (
        "free some space and start again; the run goes on from its newest" in err.splitlines()[-1]
    )
    assert "Traceback" not in err
    assert saved_states(folder)[-1] == reached

    code, out, err = program.run(folder)
    assert code == 0, err
    assert f"training state {full} was never finished: it is removed" in err
    assert f"going on from step {reached} in {folder}" in err
    assert out == f"trained 20 steps: {folder / 'weights.safetensors'}\n"
    name = "weights.safetensors"
    assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
    assert steps_done(folder) == list(range(1, 21))
