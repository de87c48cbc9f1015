"""Converting a large model takes little more memory than its file takes room."""

import subprocess
import sys

import numpy as np
import pytest

from sam_jax.checkpoints import write_pth
from sam_jax.checkpoints.conversion import official_shapes
from sam_jax.checkpoints.tensors import LazyTensor
from sam_jax.models import VIT_L

# What `getrusage` tells is never less than the parent process had, which here are tests of all kinds.
CONVERT = """
import sys
from pathlib import Path
from sam_jax.checkpoints import convert_checkpoint

convert_checkpoint(sys.argv[1], sys.argv[2])
status = Path("/proc/self/status").read_text().splitlines()
(peak,) = [line.split()[1] for line in status if line.startswith("VmHWM")]
print(int(peak) * 1024)
"""


@pytest.mark.slow
def test_vit_l_converts_within_1_3_times_its_file(tmp_path):
    float32 = np.dtype(np.float32)

    def fill(shape):
        return lambda: np.ones(shape, np.float32)

    shapes = official_shapes(VIT_L)
    tensors = {key: LazyTensor(shape, float32, fill(shape)) for key, shape in shapes.items()}
    source = tmp_path / "vit_l.pth"
    write_pth(source, tensors)
    size = source.stat().st_size
    assert 1.2e9 < size < 1.3e9
    try:
        run = subprocess.run(
            [sys.executable, "-c", CONVERT, source, tmp_path / "vit_l.safetensors"],
            check=True,
            capture_output=True,
        )
        peak = int(run.stdout)
        print(f"peak memory {peak / size:.2f} of the file")
        assert peak < 1.3 * size
    finally:
        for path in tmp_path.iterdir():
            path.unlink()
