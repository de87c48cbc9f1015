"""Batches for training: shuffled, varied, mixed from several sources, and the same ones whenever they are asked for.

Grain reads examples in threads or worker processes, in an order that depends on the seed only, not on how many there
are. A bad record is replaced by another, drawn from the same source, and what was wrong travels with the replacement
to the consumer, who counts. So shapes stay fixed, and the place in the stream is one number, the same in all processes
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
from sam_jax.data.transforms import CELL, FramedExample, frame_example
from sam_jax.types import InputError

PATIENCE = 500
"""So many bad records in a row are an error, even if there may be good ones somewhere."""

THREADS = 2
PREFETCHED = 16
"""Examples that threads keep ready."""

PREFETCHED_BY_WORKER = 4
"""Examples that a worker process keeps ready: they lie in shared memory, of which containers often have 64 MB."""


class Ingredient(NamedTuple):
    """One of the sources that training mixes.

    Attributes:
        source: where examples come from.
        augmentation: how they are varied.
        weight: its share among the examples, relative to the others' weights.
        paster: of things into its photos.
    """

    source: Source
    augmentation: Augmentation = Augmentation()
    weight: float = 1.0
    paster: Paster | None = None


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """What batches look like and how they are made."""

    frame: tuple[int, int]
    """Size (h, w) of the model's input in pixels."""
    batch_size: int
    """Images a batch, in this process."""
    num_masks: int
    """Masks an image."""
    seed: int = 0
    """Of the order and of every variation."""
    workers: int = 0
    """Processes that read; 0 means threads of this one. The batches are the same."""

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("num_masks", 1), ("seed", 0), ("workers", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} {getattr(self, name)}: give a whole number from {least}")
        if min(self.frame) < CELL or self.frame[0] % CELL or self.frame[1] % CELL:
            raise InputError(
                f"frame {self.frame[0]}x{self.frame[1]}: sides must be multiples of {CELL}"
            )


class LoaderState(TypedDict):
    """Where a loader is; plain values, for a JSON file.

    Attributes:
        examples_taken: by each process.
        skipped: how often this process has met each bad record, by what is wrong with it.
        fingerprint: of what decides the order; a state fits only a loader with the same.
    """

    examples_taken: int
    skipped: dict[str, int]
    fingerprint: str


class Loader(Iterator[Batch]):
    """An endless stream of batches.

    Args:
        ingredients: the sources to mix.
        config: what batches look like.
        process_index: which of the training processes this is; each gets other records.
        process_count: how many there are.

    Attributes:
        skipped: how often each bad record has been met, by what is wrong with it.

    Raises:
        InputError: no sources, an empty one, a weight that is not positive; and from `next`, a source of bad records.
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
        self._stream = mix_sources(ingredients, config, process_index, process_count)
        self._fingerprint = _fingerprint(ingredients, config, process_count)
        self._examples_taken = 0
        self._reader: Any = None
        self.skipped: dict[str, int] = {}

    def __next__(self) -> Batch:
        examples = [self._next_example() for _ in range(self._config.batch_size)]
        return Batch(
            images=np.stack([example.image for example in examples]),
            fitted=np.array([example.fitted for example in examples], np.int32),
            masks=np.stack([example.masks for example in examples]),
            valid=np.stack([example.valid for example in examples]),
        )

    def get_state(self) -> LoaderState:
        """Where the stream is now: a loader set to it gives the batches that this one would give next."""
        return LoaderState(
            examples_taken=self._examples_taken,
            skipped=dict(self.skipped),
            fingerprint=self._fingerprint,
        )

    def set_state(self, state: LoaderState) -> None:
        """Go on where a loader with the same ingredients and configuration was.

        Raises:
            InputError: the state is of another loader.
        """
        if state["fingerprint"] != self._fingerprint:
            raise InputError(
                "the data have changed since this run was saved: sources, their sizes, weights or augmentations, the "
                "seed, the frame, masks an image, or the number of processes; start a new run, or change them back"
            )
        self.close()
        self._examples_taken = state["examples_taken"]
        self.skipped = dict(state["skipped"])

    def close(self) -> None:
        """Stop threads or worker processes; the next batch starts them again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _next_example(self) -> FramedExample:
        if self._reader is None:
            self._reader = _read(self._stream, self._examples_taken, self._config.workers)
        reading: Reading = next(self._reader)
        for reason in reading.skipped:
            self.skipped[reason] = self.skipped.get(reason, 0) + 1
        if reading.example is None:
            raise InputError(
                f"{len(reading.skipped)} records in a row cannot be used; the last: {reading.skipped[-1]}"
            )
        self._examples_taken += 1
        return reading.example


class Reading(NamedTuple):
    """What comes out of a worker.

    Attributes:
        example: None if all records that were tried are bad.
        skipped: what is wrong with the records that were tried before.
    """

    example: FramedExample | None
    skipped: list[str]


def mix_sources(
    ingredients: Sequence[Ingredient], config: LoaderConfig, process_index: int, process_count: int
) -> grain.MapDataset:
    """All readings of one process, from the first to the end of time, by index.

    Each source is reshuffled in every pass and its examples varied by their number in the stream of all processes
    together; then each process takes every so manieth, source by source, so that all have the same mixture.
    """
    streams = []
    for number, ingredient in enumerate(ingredients):
        seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
        indices = grain.MapDataset.range(len(ingredient.source)).seed(seed).shuffle().repeat()
        readings = indices.random_map(_Reader(ingredient, config))
        streams.append(readings[process_index::process_count])
    return grain.MapDataset.mix(streams, [ingredient.weight for ingredient in ingredients])


class _Reader(grain.transforms.RandomMap):
    """From an index to a framed example, of that record or of one drawn in its place."""

    def __init__(self, ingredient: Ingredient, config: LoaderConfig) -> None:
        self._ingredient = ingredient
        self._config = config

    def random_map(self, element: int, rng: np.random.Generator) -> Reading:
        source, augmentation, _, paster = self._ingredient
        skipped = []
        index = element
        for _ in range(PATIENCE):
            try:
                example = source[index]
                if paster is not None:
                    example = paster.paste(example, rng)
                framed = frame_example(
                    example, self._config.frame, self._config.num_masks, augmentation, rng
                )
                return Reading(framed, skipped)
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


def _fingerprint(
    ingredients: Sequence[Ingredient], config: LoaderConfig, process_count: int
) -> str:
    """Of everything that the examples depend on, but not of where they lie and who reads them."""
    parts: list[Any] = []
    for source, augmentation, weight, paster in ingredients:
        parts.append((len(source), augmentation, weight))
        if paster is not None:
            parts.append((len(paster.things), replace(paster.pasting, path="")))
    text = repr((parts, config.frame, config.num_masks, config.seed, process_count))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
