"""The program `sam-jax`: reads the arguments, runs the sub-command, and turns bad input into one line."""

import sys
from collections.abc import Sequence

import tyro

from sam_jax.cli.convert import Convert
from sam_jax.cli.dataset import Dataset
from sam_jax.cli.download import Download
from sam_jax.cli.evaluate import Evaluate
from sam_jax.cli.finetune import Finetune
from sam_jax.cli.generate import Generate
from sam_jax.cli.info import Info
from sam_jax.cli.predict import Predict
from sam_jax.cli.train import Train

TRAIN, EVALUATE = "train", "evaluate"
EXTRAS = {
    "array_record": TRAIN,
    "cv2": TRAIN,
    "faster_coco_eval": EVALUATE,
    "grain": TRAIN,
    "matplotlib": EVALUATE,
    "optax": TRAIN,
    "orbax": TRAIN,
    "pycocotools": TRAIN,
    "skimage": EVALUATE,
    "tensorboardX": TRAIN,
    "tensorflow_datasets": TRAIN,
}
"""Extra that installs the package of each of these import names."""

Command = Predict | Generate | Train | Finetune | Evaluate | Dataset | Convert | Download | Info

BAD_INPUT = 2
STOPPED = 1
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `sam-jax` and return its exit code.

    Args:
        arguments: What follows the program's name; the default is what the process was started with.

    Raises:
        SystemExit: Help was asked for (code 0), or an option does not exist (code 2).
    """
    try:
        return _run(_read(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _read(arguments: Sequence[str]) -> Command:
    if [*arguments[:1]] == ["train"] and [*arguments[1:2]] not in ([], ["-h"], ["--help"]):
        # The options of a training run depend on its config, so the command reads them itself.
        return Train(config=arguments[1], options=tuple(arguments[2:]))
    return tyro.cli(
        Command,
        prog="sam-jax",
        description="Segment Anything in JAX: prompt a photo and get masks, or have all of it masked.",
        args=arguments,
    )


def _run(command: Command) -> int:
    from sam_jax.cli.notes import one_line_notes
    from sam_jax.types import InputError, RunError

    try:
        with one_line_notes():
            command.run()
    except InputError as error:
        return _complain(str(error), BAD_INPUT)
    except RunError as error:
        return _complain(str(error), STOPPED)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        extra = EVALUATE if isinstance(command, Evaluate) else EXTRAS[package]
        message = f"{package} is not installed: pip install 'sam-jax[{extra}]'"
        return _complain(message, BAD_INPUT)
    return 0


def _complain(message: str, code: int) -> int:
    print("error:", " ".join(message.splitlines()), file=sys.stderr)
    return code
