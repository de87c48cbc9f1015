"""Standard streams that are closed, full or of few letters, and Ctrl-C at any moment: one line, and an exit code."""

import os
import subprocess
import sys

import pytest

INTERRUPTED = """
import sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from sam_jax.cli.main import main
sys.exit(main({arguments!r}))
"""


def run(*command, **options):
    return subprocess.run(
        [sys.executable, *map(str, command)], stderr=subprocess.PIPE, timeout=120, **options
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_a_full_standard_output(arguments):
    with open("/dev/full", "w") as full:
        ended = run("-m", "sam_jax", *arguments, stdout=full)
    assert ended.returncode == 1
    told = b"error: cannot write to standard output: No space left on device\n"
    assert ended.stderr == told


def test_nobody_reads_standard_output():
    reading, writing = os.pipe()
    os.close(reading)
    ended = run("-m", "sam_jax", "--version", stdout=writing)
    os.close(writing)
    assert ended.returncode == 1
    assert ended.stderr == b"error: cannot write to standard output: Broken pipe\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed, weights, tmp_path):
    """What a library prints to a closed stream would land in the file that is opened next."""
    copy = tmp_path / "copy.safetensors"
    command = f'exec "$0" -m sam_jax convert {weights} {copy} {closed}'
    ended = subprocess.run(["sh", "-c", command, sys.executable], timeout=120)
    assert ended.returncode == 0
    assert copy.read_bytes() == weights.read_bytes()


def test_a_terminal_of_few_letters():
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    name = b"caf\xe9-\xc3\xbc.png"
    command = [sys.executable, "-m", "sam_jax", "predict", name, "--point", "1,1"]
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert ended.returncode == 2
    assert ended.stderr == b"error: no such file: caf\\udce9-\\xfc.png\n"


@pytest.mark.parametrize("module", ["tyro", "jax", "sam_jax.cli.evaluate", "sam_jax.inference"])
def test_ctrl_c_while_importing(module, photo):
    arguments = ["predict", str(photo), "--point", "1,1"]
    ended = run(
        "-c", INTERRUPTED.format(module=module, arguments=arguments), stdout=subprocess.PIPE
    )
    assert (ended.returncode, ended.stdout) == (130, b"")
    assert ended.stderr == b"interrupted\n"


NOISY = """
import os, sys
from sam_jax.cli.main import main
from sam_jax.cli.predict import Predict

def run(self):
    os.write(2, b"E0000 a library complains\\n")
    {ending}

Predict.run = run
sys.argv = ["sam-jax", "predict", "a.png"]
sys.exit(main())
"""


@pytest.mark.parametrize("ending", ["print('done', file=sys.stderr)", "1 / 0"])
def test_lines_of_libraries_are_shown_only_after_a_failure(ending):
    ended = run("-c", NOISY.format(ending=ending), stdout=subprocess.PIPE)
    if "print" in ending:
        assert (ended.returncode, ended.stderr) == (0, b"done\n")
    else:
        assert ended.returncode == 1
        assert ended.stderr.startswith(b"E0000 a library complains\nTraceback")
        assert b"ZeroDivisionError" in ended.stderr
