"""Two processes that save together, of which one cannot."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sam_jax
from tests.training.conftest import QUICK_AND_ALONE

pytestmark = pytest.mark.slow

SAVE = """
import resource, signal, sys
from pathlib import Path
import jax
from jax.sharding import NamedSharding
from sam_jax.distributed import join_processes
from sam_jax.types import RunError

join_processes()
from tests.training.test_saved_states import POSITION, Run, make_state

run = Run(Path(sys.argv[1]), devices=2, sharded=True)

def save(step):
    places = jax.tree.map(
        lambda _, spec: NamedSharding(run.mesh, spec), jax.eval_shape(lambda: make_state(step)), run.specs
    )
    state = jax.jit(lambda: make_state(step), out_shardings=places)()
    run.saved.save(state, POSITION, step)
    run.saved.wait()

save(3)
if jax.process_index() == int(sys.argv[2]):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
try:
    save(6)
except RunError as error:
    print(error)
again = run.restore()
print(run.saved.newest, int(again.state.step))
"""


@pytest.mark.parametrize("unlucky", [0, 1])
def test_one_that_cannot_write_keeps_no_other_waiting(tmp_path, unlucky):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code, folder = str(Path(sam_jax.__file__).parents[1]), tmp_path / "states"
    started = time.monotonic()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SAVE, str(folder), str(unlucky)],
            cwd=code,
            env={
                **os.environ,
                **QUICK_AND_ALONE,
                "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(rank),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        problem, newest = [line for line in out.splitlines() if "[Gloo]" not in line]
        assert problem.startswith(f"cannot write {folder}/6: ")
        assert "free some space" in problem
        assert newest == "3 3"
    assert time.monotonic() - started < 100
