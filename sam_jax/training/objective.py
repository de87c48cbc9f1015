"""What a run needs to know of its objective: the model that trains, what it minimises, and what it shows and leaves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Key, UInt8

from sam_jax.training.embeddings import Embeddings
from sam_jax.types import Variables


@runtime_checkable
class Objective(Protocol):
    """An objective; the loop, the step, data, devices and saved states are the same for all of them."""

    @property
    def depth(self) -> int:
        """Number of encoder blocks, which the layer-wise decay of learning rates counts."""
        ...

    def abstract_variables(self) -> Variables:
        """Shapes and dtypes of the model's weights."""
        ...

    def find_frozen(self, params: Any) -> Any:
        """A tree that marks the parameters that don't train.

        Raises:
            InputError: A pattern fits nothing.
        """
        ...

    def first_weights(self, seed: int, say: Callable[[str], None]) -> Variables:
        """Weights of the model before the first step.

        Args:
            seed: Seed of random weights.
            say: Prints a line that says what was taken from a file of weights that holds a part of the model.

        Raises:
            InputError: The file to start from cannot be read, or is of another model.
        """
        ...

    def make_model(self, variables: Variables) -> Any:
        """The model, a pytree, of its weights."""
        ...

    def compute_gradients(
        self, model: Any, trainable: Any, batch: Any, keys: Key[Array, " b"]
    ) -> tuple[Any, Any]:
        """Gradients and metrics of a part of a batch, both summed: see `sam_jax.training.step.GradientFunction`."""
        ...

    def open_embeddings(self, folder: Path, params: Any) -> Embeddings | None:
        """Image embeddings that steps take in place of images; None where they take images.

        Args:
            folder: Folder for the files of any number of encoders.
            params: Parameters of the model, on the devices.
        """
        ...

    def draw(
        self, variables: Variables, batch: Any, encoded: Any, keys: Key[Array, " b"]
    ) -> UInt8[np.ndarray, "h w 3"]:
        """A picture of what the model does with some images.

        Args:
            variables: Weights, in the memory of this machine.
            batch: The images, as the loader gives them.
            encoded: The same batch as steps take it, which can have image embeddings in place of images.
            keys: One key for each image.
        """
        ...

    def save(self, path: Path, variables: Variables) -> None:
        """Write weights to a `.safetensors` file, or to the folder of a CLIP (`sam_jax.training.loop.find_result`).

        Raises:
            RunError: The disk refuses the file.
        """
        ...
