"""Runs a script that was written for the official package: `python -m sam_jax.segment_anything script.py`."""

import importlib
import pkgutil
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

OFFICIAL = "segment_anything"
USAGE = "usage: python -m sam_jax.segment_anything SCRIPT.py [ARGUMENTS]"
BAD_INPUT = 2


def redirect() -> None:
    """Makes `import segment_anything`, and imports of its modules, find this package, in this process."""
    package = importlib.import_module(f"sam_jax.{OFFICIAL}")
    names = [
        module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    for name in [package.__name__, *names]:
        if not name.endswith(".__main__"):
            sys.modules[name.removeprefix("sam_jax.")] = importlib.import_module(name)


def main(arguments: Sequence[str]) -> int:
    """Run a script and return the exit code.

    Args:
        arguments: The script and its arguments.
    """
    if not arguments or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return BAD_INPUT
    script = Path(arguments[0])
    if not script.is_file():
        print(f"error: no such script: {script}", file=sys.stderr)
        return BAD_INPUT
    redirect()
    importlib.import_module(f"sam_jax.{OFFICIAL}.utils.onnx").redirect_export()
    sys.argv = list(arguments)
    sys.path[0] = str(script.resolve().parent)
    runpy.run_path(str(script), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
