"""The options of `sam-jax train CONFIG`: the folder and length of the run, and every setting of that config."""

import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import tyro
from tyro.conf import AvoidSubcommands, FlagCreatePairsOff, arg
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

from sam_jax.cli.options import UNSET
from sam_jax.cli.run_configs import RunConfig
from sam_jax.models import default_compute
from sam_jax.storage import locate
from sam_jax.training.config import RunSettings
from sam_jax.types import InputError

Settings = TypeVar("Settings", bound=RunSettings)


@dataclass(frozen=True, kw_only=True)
class RunOptions(Generic[Settings]):
    """Options of one training run."""

    output: Annotated[Path, arg(metavar="DIR")]
    """Folder of the run, for weights, training states, metrics and pictures."""
    max_seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint=UNSET)] = None
    """Time in seconds after which the run is saved and stopped."""
    multi_host: FlagCreatePairsOff[bool] = False
    """This is one of several processes that train together (Cloud TPU, Slurm, ..., or JAX_COORDINATOR_ADDRESS)."""
    restarts: Annotated[int, arg(metavar="N")] = 0
    """How often to start again by itself, from the newest training state, when this or another process was lost."""
    profile: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=UNSET)] = None
    """Local folder for a trace of steps 4 to 8, for TensorBoard or Perfetto."""
    program: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint=UNSET)] = None
    """The training step as `sam-jax plan --keep` compiled it for such devices; a pickle, so trust who made it."""
    settings: Annotated[Settings, arg(name="")]
    """Training configuration of the run."""


def read_run_options(run: RunConfig, arguments: Sequence[str]) -> RunOptions[RunSettings]:
    """Read the options that follow CONFIG on the command line; the defaults are the settings of the config.

    Where the config leaves `execution.compute` open, it becomes what suits the devices, so that it has options, too.

    Args:
        run: The config that CONFIG names.
        arguments: The part of the command line that follows CONFIG.

    Raises:
        InputError: The settings contradict each other or are out of range.
        SystemExit: Help was asked for (code 0), or an option does not exist or cannot have the value (code 2).
    """
    execution = run.config.execution
    compute = execution.compute or default_compute(training=True)
    settings = replace(run.config, execution=replace(execution, compute=compute))
    with _input_errors_raised():
        options = tyro.cli(
            RunOptions[type(settings)],
            prog=f"sam-jax train {run.name}",
            description=run.description,
            args=arguments,
            default=RunOptions(output=Path("runs") / run.name, settings=settings),
            config=(AvoidSubcommands,),
            registry=_registry_without_none(),
        )
    return replace(options, output=locate(options.output))


def _registry_without_none() -> ConstructorRegistry:
    """Rules by which the help shows no `(default: None)`: the setting's description says what None stands for."""
    registry = ConstructorRegistry()
    is_asking = False

    @registry.struct_rule
    def _hide_none(struct: StructTypeInfo) -> StructConstructorSpec | None:
        nonlocal is_asking
        if is_asking:
            return None
        is_asking = True
        try:
            usual = ConstructorRegistry.get_struct_spec(struct)
        finally:
            is_asking = False
        if not isinstance(usual, StructConstructorSpec):
            return None
        return replace(
            usual,
            fields=tuple(
                replace(field, type=Annotated[field.type, arg(help_behavior_hint=UNSET)])
                if field.default is None
                else field
                for field in usual.fields
            ),
        )

    return registry


@contextlib.contextmanager
def _input_errors_raised() -> Iterator[None]:
    """Raise the InputError for which tyro would end the process after printing it over several lines."""
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown):
            yield
    except SystemExit as ended:
        reason: BaseException | None = ended
        while reason is not None:
            if isinstance(reason, InputError):
                raise reason from None
            reason = reason.__context__
        sys.stderr.write(shown.getvalue())
        raise
