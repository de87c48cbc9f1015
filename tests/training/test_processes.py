"""Runs in several processes, as on several machines, in a bucket, of which some are lost."""

import json
import signal
import time

import numpy as np
import pytest

from sam_jax.cli.supervision import LOST
from sam_jax.storage import locate
from tests.distributed.test_processes import start

from .conftest import RUN

pytestmark = pytest.mark.slow


def read_metrics(folder):
    path = locate(folder) / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def whole_states(folder):
    marks = (locate(folder) / "states").glob("*/commit_success.txt")
    return {mark.parent.name for mark in marks}


def wait_for_state(folder, before, processes):
    """Return when a training state is there that was not before."""
    deadline = time.monotonic() + 240
    while not whole_states(folder) - before:
        for process in processes:
            assert process.poll() is None, process.communicate(timeout=60)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_training_in_a_bucket(program, undisturbed, google_bucket, tmp_path):
    """Two processes of which one is killed, two that are told to stop, then one: as one that nobody disturbs."""
    config = tmp_path / "run.py"
    config.write_text(RUN)
    command = ("train", config, "--execution.parameters", "sharded", "--output", google_bucket)
    compiled = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}

    first, second = processes = start(*command, **compiled)
    wait_for_state(google_bucket, set(), processes)
    second.kill()
    killed = time.monotonic()
    out, err = first.communicate(timeout=120)
    second.communicate()
    assert time.monotonic() - killed < 60
    assert first.returncode == LOST
    assert "another process of this run has ended" in err.splitlines()[-1]
    assert "Traceback" not in err

    before = whole_states(google_bucket)
    first, second = processes = start(*command, **compiled)
    wait_for_state(google_bucket, before, processes)
    second.send_signal(signal.SIGTERM)
    for process, line in (
        (first, f"terminated: saved in {google_bucket}; the same command goes on from there"),
        (second, ""),
    ):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 128 + signal.SIGTERM, err
        printed = [one for one in out.splitlines() if not one.startswith("[Gloo]")]
        assert printed == ([line] if line else [])
    reached = read_metrics(google_bucket)[-1]["step"]
    assert 0 < reached < 20

    code, out, err = program.run(google_bucket)
    assert code == 0, err
    assert f"going on from step {reached} in {google_bucket}" in err
    metrics, wanted = read_metrics(google_bucket), read_metrics(undisturbed)
    assert [line["step"] for line in metrics] == list(range(1, 21))
    for name in ("loss", "iou_error", "masks"):
        np.testing.assert_allclose(
            [line[name] for line in metrics], [line[name] for line in wanted], rtol=1e-5
        )
    starts = json.loads((locate(google_bucket) / "starts.json").read_text())
    assert [start["from_step"] for start in starts][-1] == reached
    assert len(starts) == 3
    assert 0 < metrics[-1]["goodput"] < 1
