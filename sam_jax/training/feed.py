"""The data of a run: its sources opened, and the loader that this process reads them with."""

from pathlib import Path

import jax

from sam_jax.data.example import Source
from sam_jax.data.loader import Ingredient, Loader, LoaderConfig
from sam_jax.data.sources import open_source
from sam_jax.data.subset import hold_out
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.training.config import Stored, Synthetic, TrainConfig


def open_loader(config: TrainConfig) -> Loader:
    """This process's share of the batches.

    Raises:
        InputError: a source cannot be opened.
    """
    processes = jax.process_count()
    return Loader(
        [
            Ingredient(_open(source), source.augmentation, source.weight)
            for source in config.data.sources
        ],
        LoaderConfig(
            frame=config.model.image_encoder.image_size,
            batch_size=config.data.batch_size // processes,
            num_masks=config.data.masks_per_image,
            seed=config.data.seed,
            workers=config.execution.data_workers,
        ),
        process_index=jax.process_index(),
        process_count=processes,
    )


def _open(source: Stored | Synthetic) -> Source:
    if isinstance(source, Stored):
        stored = open_source(source.path)
        return hold_out(stored, source.hold_back)[0] if source.hold_back else stored
    textures = None if source.textures is None else Path(source.textures)
    return SyntheticSource(seed=source.seed, size=source.size, textures=textures)
