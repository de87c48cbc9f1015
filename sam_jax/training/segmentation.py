"""The objective of Segment Anything: masks for the prompts of a simulated annotator."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key, UInt8

from sam_jax.checkpoints import load_first_weights, save_checkpoint
from sam_jax.data.example import Batch
from sam_jax.distributed import fetch_tree
from sam_jax.models import (
    Compute,
    Model,
    abstract_variables,
    init_variables,
    make_sam,
)
from sam_jax.training.config import TrainConfig
from sam_jax.training.embeddings import EmbeddedBatch, Embeddings
from sam_jax.training.interaction import Metrics
from sam_jax.training.parameters import find_frozen, map_paths
from sam_jax.training.pictures import draw_sessions
from sam_jax.training.step import compute_gradients, compute_loss
from sam_jax.types import InputError, Variables


class Segmentation:
    """An `Objective`: sessions of a simulated annotator with Segment Anything.

    Args:
        config: Configuration of the run.
        compute: How the model is computed.

    Attributes:
        sam: The model without weights.
    """

    def __init__(self, config: TrainConfig, compute: Compute) -> None:
        self._config = config
        self.sam = make_sam(config.model, compute)

    @property
    def depth(self) -> int:
        """Number of encoder blocks."""
        return self._config.model.image_encoder.depth

    def abstract_variables(self) -> Variables:
        """Shapes and dtypes of the model's weights."""
        return abstract_variables(self._config.model)

    def find_frozen(self, params: Any) -> Any:
        """A tree that marks frozen parameters.

        Raises:
            InputError: A pattern of `frozen` fits nothing, or `cache_embeddings` is set although the encoder trains.
        """
        frozen = find_frozen(params, self._config.frozen)
        if self._config.text is not None and self._config.text.only_projection:
            frozen = map_paths(lambda path: "/text_projection/" not in path, params)
        if self._config.cache_embeddings and not all(jax.tree.leaves(frozen["image_encoder"])):
            raise InputError('cache_embeddings needs a frozen encoder: frozen=("image_encoder/*",)')
        return frozen

    def first_weights(self, seed: int, say: Callable[[str], None]) -> Variables:
        """Random weights, or those of `start_from`."""
        config = self._config
        if config.start_from is None:
            return init_variables(config.model, seed)
        variables, account = load_first_weights(config.start_from, config.model, seed)
        if account is not None:
            say(f"{config.start_from}: {account}")
        return variables

    def make_model(self, variables: Variables) -> Model:
        """The model of its weights."""
        return Model(self.sam.config, variables, self.sam.compute)

    def compute_gradients(
        self, model: Model, trainable: Any, batch: Batch | EmbeddedBatch, keys: Key[Array, " b"]
    ) -> tuple[Any, Metrics]:
        """Gradients and metrics, both summed over masks."""
        return compute_gradients(
            model,
            trainable,
            batch,
            keys,
            self._config.interaction,
            drop_path=self._config.drop_path,
        )

    def open_embeddings(self, folder: Path, params: Any) -> Embeddings | None:
        """Image embeddings of the frozen encoder, if the run keeps them."""
        if not self._config.cache_embeddings:
            return None
        return Embeddings(folder, self.sam, fetch_tree(params["image_encoder"]))

    def draw(
        self,
        variables: Variables,
        batch: Batch,
        encoded: Batch | EmbeddedBatch,
        keys: Key[Array, " b"],
    ) -> UInt8[np.ndarray, "h w 3"]:
        """A row for each image: the prompts for its first mask, answers, and the truth."""
        encoded = encoded._replace(
            masks=encoded.masks[:, :1],
            valid=encoded.valid[:, :1],
            text=None if encoded.text is None else encoded.text[:, :1],
        )
        _, session = jax.device_get(
            _simulate(self.make_model(variables), encoded, keys, self._config.interaction)
        )
        return draw_sessions(
            batch.images,
            batch.fitted,
            session.points[:, 0],
            session.labels[:, 0],
            session.first[:, 0] > 0,
            session.last[:, 0] > 0,
            np.asarray(batch.masks[:, 0]),
        )

    def save(self, path: Path, variables: Variables) -> None:
        """Write weights to a `.safetensors` file of ours."""
        save_checkpoint(path, self._config.model, variables)


_simulate = jax.jit(compute_loss, static_argnums=3)
