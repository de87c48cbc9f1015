"""What `sam-jax train` and `sam-jax finetune` share: training, and the words and exit codes at its end."""

import signal
from pathlib import Path

from sam_jax.training.config import TrainConfig
from sam_jax.training.loop import WEIGHTS, Ending, train

TERMINATED = 128 + signal.SIGTERM


def train_and_tell(
    config: TrainConfig, folder: Path, max_seconds: float | None, started: float
) -> None:
    """Train and print where the result is.

    Raises:
        InputError: the folder is a file, or as for `train`.
        KeyboardInterrupt: Ctrl-C stopped it; all is saved.
        SystemExit: SIGTERM did.
    """
    ending = train(config, folder, max_seconds=max_seconds, started=started)
    if ending is Ending.FINISHED:
        print(f"trained {config.steps} steps: {folder / WEIGHTS}")
        return
    print(f"{ending.value}: saved in {folder}; the same command goes on from there")
    if ending is Ending.INTERRUPTED:
        raise KeyboardInterrupt
    if ending is Ending.TERMINATED:
        raise SystemExit(TERMINATED)
