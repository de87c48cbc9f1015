"""`sam-jax train`: train a model as a config file says."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a model, or go on where training stopped.

    Ctrl-C, SIGTERM and --max-seconds save and stop; the same command goes on from there, and so it does after a crash.

    Example: sam-jax train experiments/configs/debug.py steps=20 optimiser.rate=1e-4
    """

    config: Annotated[Positional[str], arg(metavar="CONFIG")]
    """A Python file that defines `config`, or the name of one in experiments/configs."""
    overrides: Annotated[Positional[tuple[str, ...]], arg(metavar="SETTING=VALUE")] = ()
    """Settings that replace the file's, such as data.batch_size=8."""
    output: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder of the run: weights, checkpoints, metrics, pictures; the default is runs/ and the config's name."""
    max_seconds: Annotated[float | None, arg(metavar="S")] = None
    """Save and stop after so many seconds."""
    multi_host: bool = False
    """This is one of several processes that train together (Cloud TPU, Slurm, ..., or JAX_COORDINATOR_ADDRESS)."""

    def run(self) -> None:
        """Train."""
        started = time.perf_counter()
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.run_configs import override, read_config
        from sam_jax.cli.training import train_and_tell
        from sam_jax.distributed import join_processes

        name, config = read_config(self.config)
        config = override(config, self.overrides)
        keep_compiled_programs()
        if self.multi_host:
            join_processes()
        train_and_tell(config, self.output or Path("runs") / name, self.max_seconds, started)
