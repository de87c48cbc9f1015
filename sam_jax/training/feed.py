"""The data of a run: its sources opened, and the loader that this process reads them with."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from sam_jax.data.drawn import MANY, DrawnSource
from sam_jax.data.example import Source
from sam_jax.data.loader import Ingredient, Loader, LoaderConfig
from sam_jax.data.pasting import Paster, Pasting
from sam_jax.data.sources import open_photos, open_source
from sam_jax.data.subset import hold_out
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.training.config import Drawn, RunSettings, Stored, Synthetic


def open_sources(config: RunSettings) -> list[Source]:
    """Open the sources that a run trains on, without the images that are held back.

    Raises:
        InputError: A source cannot be opened.
    """
    find = open_source if config.data.masks_per_image else open_photos
    return [_open(source, find) for source in config.data.sources]


def make_loader(config: RunSettings, sources: Sequence[Source]) -> Loader:
    """Make the loader of this process's share of the batches.

    Args:
        config: Configuration of the run.
        sources: Sources of the run, from `open_sources`.

    Raises:
        InputError: A source is empty, or the source of objects to paste cannot be opened.
    """
    processes = jax.process_count()
    return Loader(
        [
            Ingredient(
                source, settings.augmentation, settings.weight, _make_paster(settings.pasting)
            )
            for source, settings in zip(sources, config.data.sources, strict=True)
        ],
        LoaderConfig(
            frame=config.frame,
            batch_size=config.data.batch_size // processes,
            num_masks=config.data.masks_per_image,
            seed=config.data.seed,
            workers=config.execution.data_workers,
            crops=config.crops,
        ),
        process_index=jax.process_index(),
        process_count=processes,
    )


def _make_paster(pasting: Pasting | None) -> Paster | None:
    return None if pasting is None else Paster(open_source(pasting.path), pasting)


def _open(source: Stored | Synthetic | Drawn, find: Callable[[str], Source]) -> Source:
    if isinstance(source, Stored):
        stored = find(source.path)
        return hold_out(stored, source.hold_back)[0] if source.hold_back else stored
    if isinstance(source, Drawn):
        return DrawnSource(
            seed=source.seed,
            length=MANY if source.repeat is None else source.repeat,
            size=source.size,
            things=source.things,
        )
    length = {} if source.repeat is None else {"length": source.repeat}
    textures = None if source.textures is None else Path(source.textures)
    return SyntheticSource(
        seed=source.seed,
        size=source.size,
        textures=textures,
        plain=source.plain,
        plain_contrast=source.plain_contrast,
        remember=source.repeat is not None,
        **length,
    )
