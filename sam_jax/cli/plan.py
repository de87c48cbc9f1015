"""`sam-jax plan`: what a run needs and costs on machines that are not here."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from sam_jax.cli.options import UNSET

if TYPE_CHECKING:
    from sam_jax.training.config import RunSettings


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Say what a run needs on TPUs or GPUs that are not here: memory, time at the published peaks, chip-hours.

    For TPUs, the very program is compiled, by libtpu (`pip install 'sam-jax[plan]'`), which takes minutes for large
    models; plans are kept, so that the same question is answered at once. GPUs, and TPUs without libtpu, are planned
    by counting what the program does.

    Example: sam-jax plan sa1b_vit_h --topology v5e:16x16
    """

    config: Annotated[Positional[str], arg(metavar="CONFIG")]
    """The config of a training run, as of `sam-jax train`: a name, or a Python file that defines `config`."""
    topology: Annotated[str, arg(metavar="CHIP:AxB")]
    """Chips: v4:4x4x4, v5e:16x16, v5p:8x8x4, v6e:16x16, a100:8, a100-40:8, h100:64, h200:8, or cpu:8."""
    part: Literal["train", "encode", "decode", "generate"] = "train"
    """A training step, encoding images, decoding prompts, or the masks of everything in photos."""
    search: FlagCreatePairsOff[bool] = False
    """Try micro-batches, remat and where parameters lie, and say what fits best."""
    keep: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=UNSET)] = None
    """Folder for the compiled programs, which `sam-jax train --program` runs on such chips without compiling."""
    batch_size: Annotated[int | None, arg(metavar="N", help_behavior_hint=UNSET)] = None
    """Number of images in a batch, over all chips, in place of the config's."""
    micro_batches: Annotated[int | None, arg(metavar="N", help_behavior_hint=UNSET)] = None
    """Number of parts of a chip's share of a batch, in place of the config's."""
    images: Annotated[int, arg(metavar="N")] = 1
    """Images that each chip encodes together."""
    prompts: Annotated[int, arg(metavar="N")] = 64
    """Prompts that each chip decodes together."""
    points_per_side: Annotated[int, arg(metavar="N")] = 32
    """Points along each side of the grid of prompts of `generate`."""

    def run(self) -> None:
        """Print the plan.

        Raises:
            InputError: An option is wrong, options contradict each other, or nothing fits.
            RunError: The compiler failed, or the disk is full.
        """
        import jax

        jax.config.update("jax_platforms", "cpu")  # libtpu would look for TPUs
        from sam_jax.cli.run_configs import find_run_config
        from sam_jax.distributed.chips import read_topology
        from sam_jax.messages import LifeSigns
        from sam_jax.plan.compilation import has_compiler
        from sam_jax.plan.planning import make_plan
        from sam_jax.plan.programs import Request
        from sam_jax.plan.report import describe
        from sam_jax.plan.search import choose, search
        from sam_jax.types import InputError

        request = Request(
            config=self._vary(find_run_config(self.config).config),
            topology=read_topology(self.topology),
            part=self.part,
            images=self.images,
            prompts=self.prompts,
            points_per_side=self.points_per_side,
        )
        can_compile = has_compiler(request.topology)
        for option, is_given in (("--search", self.search), ("--keep", self.keep is not None)):
            if is_given and not can_compile:
                raise InputError(
                    f"{option} compiles, which needs TPUs and their compiler: pip install 'sam-jax[plan]'"
                )
        if self.search and self.part != "train":
            raise InputError("--search varies training steps: leave out --part, or --search")
        with LifeSigns() as signs:
            if self.search:
                tried = []
                for candidate in search(request, lambda one: make_plan(one, signs.begin)):
                    speed = candidate.plan.most_per_second
                    most = "" if speed is None else f", at most {speed:,.1f} images/s"
                    fits = "fits" if candidate.plan.fits else "does not fit"
                    print(f"{candidate.settings}: {fits}{most}", flush=True)
                    tried.append(candidate)
                request = choose(tried).request
                print()
            plan = make_plan(request, signs.begin, keep=self.keep)
        print("\n".join(describe(request, plan)))
        if self.keep is not None:
            print(f"wrote {len(plan.programs)} compiled programs to {self.keep}")

    def _vary(self, config: "RunSettings") -> "RunSettings":
        data, execution = config.data, config.execution
        if self.batch_size is not None:
            data = replace(data, batch_size=self.batch_size)
        if self.micro_batches is not None:
            execution = replace(execution, micro_batches=self.micro_batches)
        return replace(config, data=data, execution=execution)
