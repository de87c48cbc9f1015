"""Some command lines and calls; `make fuzz` tries thousands."""

import re
import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT


@pytest.mark.slow
def test_nothing_breaks_and_nothing_is_silent():
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--commands", "60", "--calls", "200"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    counts = re.findall(r"(?:: |, )(\w+) (\d+)", ended.stdout)
    assert sum(int(number) for _, number in counts) == 260
    # Of each kind are enough that things are tried, not only refused.
    assert {ending for ending, number in counts if int(number) >= 10} >= {"0", "2", "returned"}
