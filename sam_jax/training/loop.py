"""A training run, from its first step, or from where it stopped, to its last."""

import contextlib
import enum
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sam_jax.data.example import Source
from sam_jax.data.images import write_image
from sam_jax.data.left_out import list_left_out, summarise_reasons
from sam_jax.distributed import (
    check_shared,
    fetch_tree,
    gather_texts,
    place_batch,
    wait_for_all,
)
from sam_jax.distributed.kept_programs import load_program
from sam_jax.messages import LifeSigns, count
from sam_jax.profiling import Profile
from sam_jax.storage import (
    NO_SPACE,
    locate,
    make_folder,
    mark_as_output,
    remove_leftovers,
    write_text,
)
from sam_jax.training.config import RunSettings, TrainConfig
from sam_jax.training.config_differences import describe_config
from sam_jax.training.embeddings import Embeddings
from sam_jax.training.feed import make_loader, open_sources
from sam_jax.training.interruption import AgreedStop, Stop, StopRequest, watching_for_stops
from sam_jax.training.metrics import Averager, MetricFiles
from sam_jax.training.orbax_states import check_place_of_states
from sam_jax.training.phrase_config import PhraseConfig
from sam_jax.training.preparation import first_state, prepare
from sam_jax.training.progress import ProgressReport
from sam_jax.training.saved_states import SavedStates
from sam_jax.training.spent_time import SpentTime
from sam_jax.training.state import to_variables
from sam_jax.training.text_prompting import TextSource, add_text
from sam_jax.training.utilisation import Utilisation
from sam_jax.types import RunError

WEIGHTS = "weights.safetensors"
"""The name of the file of weights that a run ends with."""

CLIP = "clip"
"""The name of the folder that a run ends with in its place, where it trains a CLIP."""

STATES = "states"
"""The name of the folder of saved training states."""

IMAGES_SHOWN = 4
"""Number of images in a picture."""


class Ending(enum.Enum):
    """Why training returned."""

    FINISHED = "finished"
    OUT_OF_TIME = "out of time"
    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"


_ENDINGS = {
    Stop.OUT_OF_TIME: Ending.OUT_OF_TIME,
    Stop.INTERRUPTED: Ending.INTERRUPTED,
    Stop.TERMINATED: Ending.TERMINATED,
}


def find_result(config: RunSettings, folder: Path) -> Path:
    """The file or folder of weights that a run leaves.

    Args:
        config: Configuration of the run.
        folder: The folder of the run.
    """
    return folder / (CLIP if isinstance(config, PhraseConfig) else WEIGHTS)


def train(
    config: RunSettings,
    folder: Path,
    *,
    embeddings: Path | None = None,
    max_seconds: float | None = None,
    started: float | None = None,
    profile: Path | None = None,
    program: Path | None = None,
) -> Ending:
    """Train, or go on training, and leave weights, training states, metrics and pictures in a folder.

    Ctrl-C and SIGTERM, in any of several processes, save and stop all of them after the step under way or the next.

    Args:
        config: Configuration of the run.
        folder: The folder of the run, on a disk or in a bucket, the same for all processes; if it holds saved training
            states, the run goes on from the newest.
        embeddings: The folder for image embeddings that are kept; the default lies in the folder of the run.
        max_seconds: Time in seconds after which to save and stop; None for no limit.
        started: `time.perf_counter()` at the program's start, for the time to the first step.
        profile: A local folder for a trace of a few steps; None for none.
        program: The compiled training step for these devices, from `sam-jax plan --keep`; None to compile it.

    Returns:
        Why training ended.

    Raises:
        InputError: Settings contradict each other, the data or the saved training states, or the processes don't see
            one folder.
        RunError: The loss diverged or the disk is full; training states that were saved before are whole.
        CheckpointError: The weights to start from cannot be read.
    """
    started = time.perf_counter() if started is None else started
    folder = locate(folder)
    check_place_of_states(folder)
    with _explaining_lack_of_space(folder), contextlib.ExitStack() as resources:
        stop = resources.enter_context(watching_for_stops(max_seconds))
        signs = resources.enter_context(LifeSigns(is_silent=jax.process_index() > 0))
        signs.begin(f"preparing {count(config.steps, 'step')} of training in {folder}")
        check_shared(folder)
        embeddings = folder / "embeddings" if embeddings is None else locate(embeddings)
        run = _Run(config, folder, embeddings, signs, resources, started, program)
        reason = run.go(stop, profile)
    return Ending.FINISHED if run.step == config.steps else _ENDINGS[reason]


@contextlib.contextmanager
def _explaining_lack_of_space(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise RunError(
            f"no space left in {folder}: free some and start again, the run goes on from its newest training state"
        ) from error


class _Run:
    """A run under way: what changes from step to step."""

    def __init__(
        self,
        config: RunSettings,
        folder: Path,
        embeddings: Path,
        signs: LifeSigns,
        resources: contextlib.ExitStack,
        started: float,
        program: Path | None,
    ) -> None:
        self._config, self._folder, self._started = config, folder, started
        remove_leftovers(folder, below=False)
        remove_leftovers(folder / "pictures")
        self._is_first_process = jax.process_index() == 0
        self._preparation = prepare(config)
        self._utilisation = Utilisation(self._preparation.mesh)
        self._step_to_count = self._preparation.train_step
        if program is not None:
            self._preparation = self._preparation._replace(train_step=load_program(program))
        self._sources = self._open_sources(config, embeddings)
        self._loader = make_loader(config, self._sources)
        resources.callback(self._loader.close)
        description, messages = describe_config(config), []
        self._states = SavedStates(
            folder / STATES, config.reporting.states_kept, description, messages.append
        )
        resources.callback(self._states.close)
        restored = self._states.restore(
            self._preparation.abstract_state, self._preparation.specs, self._preparation.mesh
        )
        if restored is None:
            self._state = first_state(config, self._preparation, messages.append)
        else:
            self._state = restored.state
            self._loader.set_state(restored.position)
        self._position = self._loader.get_state()
        self.step = int(self._state.step)
        self._embeddings = self._preparation.objective.open_embeddings(
            embeddings, self._state.params
        )
        self._averager = Averager()
        self._time = SpentTime(
            folder if self._is_first_process else None,
            self.step,
            0.0 if restored is None else restored.seconds,
            started,
        )
        self._files = None
        if self._is_first_process:
            mark_as_output(folder)
            write_text(folder / "config.json", json.dumps(description, indent=2) + "\n")
            self._files = resources.enter_context(
                contextlib.closing(MetricFiles(folder, self.step))
            )
        self._progress = resources.enter_context(
            ProgressReport(self.step, config.steps, signs, is_silent=not self._is_first_process)
        )
        for message in messages:
            self._progress.say(message)
        for source in self._sources:
            self._progress.say(f"{source.name}: {_count(len(source))} to train on")
            if reasons := list_left_out(source):
                self._progress.say(f"{source.name}: left out {summarise_reasons(reasons)}")
        if restored is not None:
            self._progress.say(f"going on from step {self.step} in {folder}")

    def go(self, request: StopRequest, profile: Path | None) -> Stop:
        """Train to the last step, or until a stop is asked for, and save; return why it stopped."""
        with Profile(profile, "step", self._progress.say) as trace:
            reason = self._take_steps(request, trace)
        self._save()
        self._states.wait()
        self._export_weights()
        self._tell_skipped()
        self._time.write()
        self._progress.say(f"{self._time.goodput:.0%} of the time in new steps")
        return reason

    def _take_steps(self, request: StopRequest, trace: Profile) -> Stop:
        reporting = self._config.reporting
        begun = self.step
        waiting: list[tuple[int, dict[str, jax.Array]]] = []
        if self.step == 0:
            self._embed_text_ahead(request)
            if self._embeddings:
                self._embed_ahead(self._embeddings, request)
        stop = AgreedStop(request, self._preparation.mesh)
        reason = stop.look()
        while self.step < self._config.steps and not reason:
            trace.next(self._state)
            with self._time.spending("data"):
                batch = next(self._loader)
                embedded = self._embed(batch)
            with self._time.spending("step"):
                waiting.append((self.step + 1, self._take_step(embedded)))
                reason = stop.vote()
            if self.step == begun + 1:
                jax.block_until_ready(self._state)
                seconds = time.perf_counter() - self._started
                self._progress.say(f"first step done after {seconds:.1f} s")
            writes, saves, shows = map(
                self._is_due,
                (reporting.metrics_every, reporting.states_every, reporting.pictures_every),
            )
            # While this step is computed, look at the one before, unless something needs to wait for this one anyway.
            seen = self.step if writes or saves or shows or reason else self.step - 1
            with self._time.spending("step"):
                while waiting and waiting[0][0] <= seen:
                    self._note(*waiting.pop(0))
            self._time.end_step()
            if writes:
                self._write_metrics()
            if saves:
                self._save()
            if shows:
                self._draw_picture(batch)
        return reason

    def _save(self) -> None:
        """Begin to save the state, after all that tells of the steps up to it."""
        with self._time.spending("saving"):
            if self._files:
                self._files.upload()
            self._time.write()
            self._states.save(self._state, self._position, self.step, self._time.seconds)

    def _tell_skipped(self) -> None:
        """Say which records were not used, in any process, and what reading the others had to choose."""
        for what, reasons in (
            ("skipped records", self._loader.skipped),
            ("notes on records", self._loader.notes),
        ):
            of_all = [json.loads(text) for text in gather_texts(json.dumps(list(reasons)))]
            named = sorted({reason for some in of_all for reason in some})
            if named:
                self._progress.say(f"{what}: {summarise_reasons(named)}")
                if self._is_first_process:
                    name = f"{what.replace(' ', '_')}.txt"
                    write_text(self._folder / name, "".join(f"{reason}\n" for reason in named))

    def _embed_ahead(self, embeddings: Embeddings, request: StopRequest) -> None:
        """Encode all images, if the run is long enough to see each; else they are encoded when their turn comes."""
        images = sum(map(len, self._sources))
        seen = min(images, self._config.steps * self._config.data.batch_size)
        megabytes = seen * embeddings.bytes_per_image / 1e6
        self._progress.say(
            f"encoding {count(seen, 'image')}: {megabytes:,.1f} MB in {embeddings.folder}"
        )
        if seen < images:
            return
        shares = [
            range(jax.process_index(), len(source), jax.process_count()) for source in self._sources
        ]
        with self._progress.counting("encoding", sum(map(len, shares))) as advance:
            for source, share in zip(self._sources, shares, strict=True):
                for _ in embeddings.embed_source(source, share):
                    advance()
                    if request.reason:
                        return

    @staticmethod
    def _open_sources(config: RunSettings, embeddings: Path) -> Sequence[Source]:
        """The sources of a run, whose masks have embeddings of CLIP where the run trains with text."""
        sources = open_sources(config)
        if not isinstance(config, TrainConfig) or config.text is None:
            return sources
        text_width = config.model.prompt_encoder.text_width
        return add_text(sources, config.text, text_width, embeddings)

    def _embed_text_ahead(self, request: StopRequest) -> None:
        """Let CLIP see all masks, if the run is long enough or worker processes need it; else when their turn comes."""
        images = sum(map(len, self._sources))
        sources = [s for s in self._sources if isinstance(s, TextSource) and s.features.folder]
        seen = self._config.steps * self._config.data.batch_size
        if not sources or (seen < images and not self._config.execution.data_workers):
            return
        self._progress.say(
            f"embedding the masks of {count(images, 'image')} by CLIP, in {sources[0].features.folder}"
        )
        shares = [
            range(jax.process_index(), len(source), jax.process_count()) for source in sources
        ]
        with self._progress.counting("embedding masks", sum(map(len, shares))) as advance:
            for source, share in zip(sources, shares, strict=True):
                for _ in source.compute_ahead(share):
                    advance()
                    if request.reason:
                        break
        wait_for_all()  # Worker processes read what others have computed.

    def _embed(self, batch: Any) -> Any:
        return self._embeddings.embed(batch) if self._embeddings else batch

    def _take_step(self, batch: Any) -> dict[str, jax.Array]:
        placed = place_batch(batch, self._preparation.mesh)
        self._utilisation.look_at(self._step_to_count, self._state, placed)
        with jax.transfer_guard("disallow"):
            self._state, means, norm = self._preparation.train_step(self._state, placed)
        self._position = self._loader.get_state()
        self.step += 1
        return {**means._asdict(), "gradient_norm": norm}

    def _is_due(self, every: int) -> bool:
        return every > 0 and (self.step % every == 0 or self.step == self._config.steps)

    def _note(self, step: int, metrics: dict[str, jax.Array]) -> None:
        on_host = jax.device_get(metrics)
        numbers = {name: np.asarray(on_host[name]).item() for name in metrics}
        loss, norm = numbers["loss"], numbers["gradient_norm"]
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise RunError(
                f"training failed at step {step}: the loss is {loss} and its gradient's norm {norm}. Start again, from "
                f"step {self._states.newest or 0}, with a lower optimiser.rate or optimiser.clip_norm"
            )
        self._averager.add(numbers)
        self._progress.advance(step)

    def _write_metrics(self) -> None:
        metrics = self._averager.take()
        metrics["learning_rate"] = np.asarray(self._preparation.schedule(self.step - 1)).item()
        metrics["skipped_records"] = sum(self._loader.skipped.values())
        metrics |= self._time.take() | self._utilisation.take(metrics)
        self._progress.show(metrics)
        if self._files:
            self._files.write(self.step, metrics)

    def _draw_picture(self, batch: Any) -> None:
        variables = fetch_tree(to_variables(self._state))
        if not self._files:
            return
        shown = jax.tree.map(lambda leaf: leaf[:IMAGES_SHOWN], batch)
        keys = jax.random.split(jax.random.key(self.step), len(shown.images))
        objective = self._preparation.objective
        picture = objective.draw(variables, shown, self._embed(shown), keys)
        pictures = self._folder / "pictures"
        make_folder(pictures)
        write_image(pictures / f"step_{self.step:07}.png", picture)
        self._files.show(self.step, picture)

    def _export_weights(self) -> None:
        variables = fetch_tree(to_variables(self._state))
        if self._is_first_process:
            self._preparation.objective.save(find_result(self._config, self._folder), variables)


def _count(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"
