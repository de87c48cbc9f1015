"""Batches for training: shuffled, augmented, mixed from several sources, and the same ones in every run.

Grain reads examples in threads or worker processes, in an order that depends on the seed only, not on how many there
are. A bad record is replaced by another, drawn from the same source, and the reason travels with the replacement to
the consumer, who counts. So shapes stay fixed, and the position in the stream is one number, the same in all processes
of a run: how many examples have been taken.
"""

import hashlib
import multiprocessing
import multiprocessing.process
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypedDict

import grain
import numpy as np
from absl import flags

from sam_jax.data.augmentation import Augmentation
from sam_jax.data.example import Batch, RecordError, Source
from sam_jax.data.pasting import Paster
from sam_jax.data.phrased_crops import CropSettings, PhrasedBatch, PhrasedExample, phrase_example
from sam_jax.data.transforms import CELL, FramedExample, frame_example
from sam_jax.memory import require_memory
from sam_jax.types import InputError

PATIENCE = 500
"""Bad records in a row after which the source is an error, even if there may be good ones somewhere."""

THREADS = 2
"""Threads that read where there are no worker processes."""

PREFETCHED = 16
"""Examples that threads keep ready."""

PREFETCHED_BY_WORKER = 4
"""Examples that a worker process keeps ready: they lie in shared memory, of which containers often have 64 MB."""


class Ingredient(NamedTuple):
    """One of the sources that training mixes.

    Attributes:
        source: The data set that examples come from.
        augmentation: Augmentation of the examples.
        weight: Share of the source among all examples, relative to the weights of the other sources.
        paster: Copy-paste of objects into the photos of the source; None for none.
    """

    source: Source
    augmentation: Augmentation = Augmentation()
    weight: float = 1.0
    paster: Paster | None = None


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """What batches look like and how they are made."""

    frame: tuple[int, int]
    """Size (h, w) of the model's padded input in pixels."""
    batch_size: int
    """Number of images in a batch of this process."""
    num_masks: int
    """Number of masks of an image; 0 for photos alone."""
    seed: int = 0
    """Seed of the order and of the augmentation."""
    workers: int = 0
    """Number of processes that read; 0 means threads of this process. The batches are the same."""
    crops: CropSettings | None = None
    """How crops and phrases of drawings are drawn, one crop for each mask; None for images and masks."""

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("num_masks", 0), ("seed", 0), ("workers", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} {getattr(self, name)}: give a whole number from {least}")
        if min(self.frame) < CELL or self.frame[0] % CELL or self.frame[1] % CELL:
            raise InputError(
                f"frame {self.frame[0]}x{self.frame[1]}: sides must be multiples of {CELL}"
            )
        pixels = self.frame[0] * self.frame[1]
        require_memory(
            self.batch_size * pixels * (3 + self.num_masks / CELL**2),
            f"a batch of {self.batch_size} images of {self.frame[0]}x{self.frame[1]} with {self.num_masks} masks each",
        )


class LoaderState(TypedDict):
    """The position of a loader in its stream; plain values, for a JSON file.

    Attributes:
        examples_taken: Number of examples that all processes together have taken: one number for the whole run.
        skipped: How often each bad record has been met, by the reason why it is bad.
        fingerprint: Digest of everything that decides the order; a state fits only a loader with the same digest.
    """

    examples_taken: int
    skipped: dict[str, int]
    fingerprint: str


def add_up_positions(positions: Sequence[LoaderState]) -> LoaderState:
    """The position of a whole run, from those of its processes after the same step."""
    skipped: dict[str, int] = {}
    for position in positions:
        for reason, times in position["skipped"].items():
            skipped[reason] = skipped.get(reason, 0) + times
    return LoaderState(**{**positions[0], "skipped": skipped})


class Loader(Iterator[Any]):
    """An endless stream of batches: each a `Batch`, or a `PhrasedBatch` where crops and phrases are drawn.

    Args:
        ingredients: Sources to mix.
        config: Sizes of the batches and the way of reading.
        process_index: Number of this process among the training processes. Each batch of the run is the same for any
            number of them; the first process has its beginning, and so on.
        process_count: Number of training processes.

    Attributes:
        skipped: How often each bad record has been met, by the reason why it is bad.
        notes: How often a record has been met whose reading had to make a choice, by what was chosen; this loader's
            own, and no part of its state.

    Raises:
        InputError: There is no source, one is empty, or a weight is not positive; and from `next`, a source has only
            bad records.
    """

    def __init__(
        self,
        ingredients: Sequence[Ingredient],
        config: LoaderConfig,
        *,
        process_index: int = 0,
        process_count: int = 1,
    ) -> None:
        _check_ingredients(ingredients)
        self._config = config
        self._stream = _Share(
            mix_sources(ingredients, config), config.batch_size, process_index, process_count
        )
        self._is_first, self._process_count = process_index == 0, process_count
        self._fingerprint = _fingerprint(ingredients, config)
        self._examples_taken = 0
        self._reader: Any = None
        self.skipped: dict[str, int] = {}
        self.notes: dict[str, int] = {}

    def __next__(self) -> Batch | PhrasedBatch:
        examples = [self._next_example() for _ in range(self._config.batch_size)]
        if self._config.crops is not None:
            return PhrasedBatch(*map(np.stack, zip(*examples, strict=True)))
        return Batch(
            images=np.stack([example.image for example in examples]),
            fitted=np.array([example.fitted for example in examples], np.int32),
            masks=np.stack([example.masks for example in examples]),
            valid=np.stack([example.valid for example in examples]),
            text=(
                None
                if examples[0].text is None
                else np.stack([example.text for example in examples])
            ),
        )

    def get_state(self) -> LoaderState:
        """The current position: a loader that is set to it gives the batches that this one would give next."""
        return LoaderState(
            examples_taken=self._examples_taken * self._process_count,
            skipped=dict(self.skipped),
            fingerprint=self._fingerprint,
        )

    def set_state(self, state: LoaderState) -> None:
        """Continue from the position of a run with the same ingredients and configuration.

        What was skipped is counted by the first process, so that all together count it once.

        Args:
            state: The position after a step, of any number of processes, from `add_up_positions`.

        Raises:
            InputError: The state is of a loader with other ingredients or another configuration.
        """
        if state["fingerprint"] != self._fingerprint:
            raise InputError(
                "the data have changed since this run was saved: sources, their sizes, weights or augmentations, the "
                "seed, the frame, or masks an image; start a new run, or change them back"
            )
        self.close()
        self._examples_taken = state["examples_taken"] // self._process_count
        self.skipped = dict(state["skipped"]) if self._is_first else {}

    def close(self) -> None:
        """Stop threads or worker processes; the next batch starts them again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _next_example(self) -> Any:
        if self._reader is None:
            self._reader = _read(self._stream, self._examples_taken, self._config.workers)
        reading: Reading = next(self._reader)
        for reason in reading.skipped:
            self.skipped[reason] = self.skipped.get(reason, 0) + 1
        for note in reading.notes:
            self.notes[note] = self.notes.get(note, 0) + 1
        if reading.example is None:
            raise InputError(
                f"{len(reading.skipped)} records in a row cannot be used; the last: {reading.skipped[-1]}"
            )
        self._examples_taken += 1
        return reading.example


class Reading(NamedTuple):
    """The result of a worker.

    Attributes:
        example: Framed example, or crops and phrases; None if all records that were tried are bad.
        skipped: Reasons why the records that were tried before are bad.
        notes: Choices that reading the example had to make.
    """

    example: FramedExample | PhrasedExample | None
    skipped: list[str]
    notes: tuple[str, ...] = ()


def mix_sources(ingredients: Sequence[Ingredient], config: LoaderConfig) -> grain.MapDataset:
    """The endless stream of a run's readings, by index, whichever process reads them.

    Each source is reshuffled in every epoch. The augmentation of an example depends on its number in the stream.
    """
    streams = []
    for number, ingredient in enumerate(ingredients):
        seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
        indices = grain.MapDataset.range(len(ingredient.source)).seed(seed).shuffle().repeat()
        streams.append(indices.random_map(_Reader(ingredient, config)))
    return grain.MapDataset.mix(streams, [ingredient.weight for ingredient in ingredients])


class _Share(grain.MapDataset):
    """What one process reads of a stream: of every batch of the run, its piece.

    Args:
        stream: The stream of the run.
        piece: Number of examples of a batch that a process reads.
        process_index: Number of the process.
        process_count: Number of processes.
    """

    def __init__(
        self, stream: grain.MapDataset, piece: int, process_index: int, process_count: int
    ) -> None:
        super().__init__(stream)
        self._stream = stream
        self._piece, self._index, self._count = piece, process_index, process_count

    def __len__(self) -> int:
        return len(self._stream) // self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.slice(index)
        batch, place = divmod(index, self._piece)
        return self._stream[(batch * self._count + self._index) * self._piece + place]


class _Reader(grain.transforms.RandomMap):
    """From an index to a framed example of that record, or of one that is drawn in its place."""

    def __init__(self, ingredient: Ingredient, config: LoaderConfig) -> None:
        self._ingredient = ingredient
        self._config = config

    def random_map(self, element: int, rng: np.random.Generator) -> Reading:  # pyright: ignore[reportIncompatibleMethodOverride]
        source, augmentation, _, paster = self._ingredient
        skipped = []
        index = element
        for _ in range(PATIENCE):
            try:
                example = source[index]
                if paster is not None:
                    example = paster.paste(example, rng)
                config = self._config
                if config.crops is not None:
                    return Reading(
                        phrase_example(example, config.num_masks, config.crops, rng), skipped
                    )
                framed = frame_example(example, config.frame, config.num_masks, augmentation, rng)
                return Reading(framed, skipped, example.notes)
            except RecordError as error:
                skipped.append(str(error))
                index = int(rng.integers(len(source)))
        return Reading(None, skipped)


def _read(stream: grain.MapDataset, start: int, workers: int) -> grain.DatasetIterator:
    options = grain.ReadOptions(
        num_threads=0 if workers else THREADS, prefetch_buffer_size=PREFETCHED
    )
    examples = stream[start:].to_iter_dataset(options)
    if workers:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # Grain asks for settings that it takes from absl's command line
        examples = examples.mp_prefetch(
            grain.MultiprocessingOptions(
                num_workers=workers, per_worker_buffer_size=PREFETCHED_BY_WORKER
            ),
            worker_init_fn=_depend_on_the_parent,
        )
    return iter(examples)


def _depend_on_the_parent(worker: int, workers: int) -> None:
    """Ignore Ctrl-C, which reaches every process of the terminal, and end when the parent has ended, however it did."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _check_ingredients(ingredients: Sequence[Ingredient]) -> None:
    if not ingredients:
        raise InputError("no data to train on: name at least one source")
    for source, _, weight, _ in ingredients:
        if len(source) == 0:
            raise InputError(f"{source.name} is empty")
        if not (weight > 0 and np.isfinite(weight)):
            raise InputError(f"{source.name} has the weight {weight:g}: give a positive number")


def _fingerprint(ingredients: Sequence[Ingredient], config: LoaderConfig) -> str:
    """Digest of everything that the examples depend on, but not of where files lie and who reads them."""
    parts: list[Any] = []
    for source, augmentation, weight, paster in ingredients:
        parts.append((len(source), augmentation, weight))
        if paster is not None:
            parts.append((len(paster.objects), replace(paster.pasting, path="")))
    drawn = () if config.crops is None else (config.crops,)
    text = repr((parts, config.frame, config.num_masks, config.seed, *drawn))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
