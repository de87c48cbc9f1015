"""`sam-jax train`: train a model as a config says."""

import time
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, Suppress, arg


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a model, or go on where training stopped.

    CONFIG comes first. Options follow it; `sam-jax train CONFIG --help` lists them. Beside --output, --max-seconds,
    --profile and --multi-host, every setting of the config is an option. Only a file can add a part that the
    config lacks, such as a second data source.

    Ctrl-C, SIGTERM and --max-seconds save and stop. The same command goes on from there, also after a crash.

    Example: sam-jax train debug --steps 40 --optimiser.rate 1e-4 --output runs/slow
    """

    config: Annotated[Positional[str], arg(metavar="CONFIG")]
    """A Python file that defines `config`, or debug, finetune_bbbc038, mae_tiny, mae_vit_b, mae_vit_h, mae_vit_l,
    sa1b_vit_b, sa1b_vit_h, sa1b_vit_h_text, sa1b_vit_l, tiny, tiny_text, tiny_words."""
    options: Suppress[tuple[str, ...]] = ()
    """What follows CONFIG on the command line; it is read when the config is known."""

    def run(self) -> None:
        """Train the model, and print where the result is."""
        started = time.perf_counter()
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.output_folder import check_output_folder
        from sam_jax.cli.run_configs import find_run_config
        from sam_jax.cli.run_options import read_run_options
        from sam_jax.cli.training_command import train_and_report
        from sam_jax.distributed import join_processes

        keep_compiled_programs()
        if "--multi-host" in self.options:  # before anything looks at the devices
            join_processes()
        options = read_run_options(find_run_config(self.config), self.options)
        check_output_folder(options.output)
        train_and_report(
            options.settings,
            options.output,
            options.max_seconds,
            started,
            profile=options.profile,
            program=options.program,
        )
