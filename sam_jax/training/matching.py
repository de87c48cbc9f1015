"""The objective of a CLIP: which phrases fit which crops, each pair a question of its own."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from sam_jax.checkpoints import load_clip, save_clip
from sam_jax.data.object_crops import CLIP_MEAN, CLIP_STD
from sam_jax.data.phrased_crops import PhrasedBatch
from sam_jax.data.phrases import WORDS
from sam_jax.losses import sigmoid_pairs
from sam_jax.models import Compute
from sam_jax.models.clip import (
    ClipModel,
    ClipTokeniser,
    abstract_clip,
    compare,
    embed_pixels,
    embed_tokens,
    init_clip,
    learn_words,
)
from sam_jax.models.clip.tokeniser import END, START
from sam_jax.training.parameters import find_frozen, put_back
from sam_jax.training.phrase_config import PhraseConfig
from sam_jax.training.pictures import draw_crops
from sam_jax.types import AnyArray, InputError, Variables


class MatchingMetrics(NamedTuple):
    """The loss of pairs, and how many are right: sums over crops, so that parts of a batch add up, until `means`.

    Attributes:
        crops: Number of crops.
        loss: The training objective: the sigmoid loss, summed over the phrases of a crop.
        found: Phrases of a crop that fit it and that the model says do so.
        missed: Phrases of a crop that fit it and that the model says don't.
        invented: Phrases of a crop that don't fit it and that the model says do so.
    """

    crops: Float[Array, ""]
    loss: Float[Array, ""]
    found: Float[Array, ""]
    missed: Float[Array, ""]
    invented: Float[Array, ""]

    @property
    def total(self) -> Float[Array, ""]:
        """Number of crops."""
        return self.crops

    def means(self) -> "MatchingMetrics":
        """Means over crops in place of sums; 0 where there is none."""
        crops, *sums = self
        divisor = jnp.maximum(crops, 1.0)
        return MatchingMetrics(crops, *(total / divisor for total in sums))


def make_tokens(
    words: Int[AnyArray, "*n words"], table: Int[AnyArray, " vocabulary"], ends: tuple[int, int]
) -> Int[Array, "*n tokens"]:
    """Tokens of phrases, as a `ClipTokeniser` makes them, where each word has a token of its own.

    Args:
        words: Numbers of the words of each phrase; -1 behind the last.
        table: Token of each word.
        ends: Tokens of the start and of the end of a phrase.
    """
    words = jnp.asarray(words)
    start, end = (jnp.full((*words.shape[:-1], 1), token, jnp.int32) for token in ends)
    inner = jnp.where(words >= 0, jnp.asarray(table)[words], end)
    return jnp.concatenate([start, inner, end], axis=-1)


def measure_matching(
    model: ClipModel, batch: PhrasedBatch, tokens: Int[AnyArray, "b m t"]
) -> tuple[MatchingMetrics, Float[Array, "b n m"]]:
    """Losses of all pairs of the crops and phrases of each drawing.

    Args:
        model: The model with all its weights.
        batch: Crops, and whether phrases fit.
        tokens: Tokens of the phrases.

    Returns:
        Metrics summed over crops, of which `loss` is minimised, and the logits.
    """
    drawings, things = batch.valid.shape

    def flat(leaf: Any) -> Array:
        return jnp.asarray(leaf).reshape(-1, *leaf.shape[2:])

    images = embed_pixels(model, flat(batch.images), flat(batch.patches))
    phrases = embed_tokens(model, flat(tokens))
    logits = jax.vmap(partial(compare, model))(
        images.reshape(drawings, things, -1), phrases.reshape(drawings, tokens.shape[1], -1)
    )
    fits, valid = jnp.asarray(batch.fits), jnp.asarray(batch.valid)[..., None]
    says = logits > 0

    def add_up(pairs: Array) -> Float[Array, ""]:
        return jnp.where(valid, pairs.astype(jnp.float32), 0.0).sum()

    metrics = MatchingMetrics(
        valid.sum(dtype=jnp.float32),
        add_up(sigmoid_pairs(logits, fits)),
        add_up(says & fits),
        add_up(~says & fits),
        add_up(says & ~fits),
    )
    return metrics, logits


class Matching:
    """An `Objective`: the phrases that fit each crop of a drawing, told by a CLIP.

    Args:
        config: Configuration of the run.
        compute: How the model is computed.

    Raises:
        InputError: The package `tokenizers` is absent, or the model has another vocabulary or too few tokens.
    """

    def __init__(self, config: PhraseConfig, compute: Compute) -> None:
        self._config, self._compute = config, compute
        sizes = config.model.text
        self._tokeniser = learn_words(WORDS, sizes.context)
        known = len(self._tokeniser.words)
        if sizes.vocabulary != known:
            raise InputError(
                f"the words of drawings are {known} tokens; set `vocabulary` of the model's text to it"
            )
        self._table, self._ends = _tabulate(self._tokeniser)

    @property
    def depth(self) -> int:
        """Number of blocks of the image tower."""
        return self._config.model.image.depth

    def abstract_variables(self) -> Variables:
        """Shapes and dtypes of the model's weights."""
        return abstract_clip(self._config.model)

    def find_frozen(self, params: Any) -> Any:
        """A tree that marks nothing as frozen."""
        return find_frozen(params, ())

    def first_weights(self, seed: int, say: Callable[[str], None]) -> Variables:
        """Random weights, or those of `start_from`.

        Raises:
            InputError: The folder cannot be read, or its CLIP has other sizes.
        """
        config = self._config
        if config.start_from is None:
            return init_clip(config.model, seed)
        clip = load_clip(config.start_from, with_words=False)
        if clip.config != config.model:
            raise InputError(f"{config.start_from} has a CLIP of other sizes than `model`")
        return clip.variables

    def make_model(self, variables: Variables) -> ClipModel:
        """The model of its weights."""
        return ClipModel(self._config.model, variables, self._compute)

    def compute_gradients(
        self, model: ClipModel, trainable: Any, batch: PhrasedBatch, keys: Key[Array, " b"]
    ) -> tuple[Any, MatchingMetrics]:
        """Gradients and metrics, both summed over crops."""
        tokens = make_tokens(batch.words, self._table, self._ends)

        def loss(trainable: Any) -> tuple[Float[Array, ""], MatchingMetrics]:
            params = put_back(trainable, model.variables["params"])
            moved = self.make_model({"params": params})
            metrics, _ = measure_matching(moved, batch, tokens)
            return metrics.loss, metrics

        return jax.grad(loss, has_aux=True)(trainable)

    def open_embeddings(self, folder: Path, params: Any) -> None:
        """None: every crop is seen anew."""

    def draw(
        self,
        variables: Variables,
        batch: PhrasedBatch,
        encoded: PhrasedBatch,
        keys: Key[Array, " b"],
    ) -> UInt8[np.ndarray, "h w 3"]:
        """A row of crops for each drawing, framed green where the model is right about all phrases, else red."""
        tokens = make_tokens(encoded.words, self._table, self._ends)
        _, logits = jax.device_get(_measure(self.make_model(variables), encoded, tokens))
        right = ((logits > 0) == batch.fits).all(axis=-1)
        colours = 255 * (
            batch.images * np.array(CLIP_STD, np.float32) + np.array(CLIP_MEAN, np.float32)
        )
        images = np.clip(colours + 0.5, 0, 255).astype(np.uint8)
        return draw_crops(
            [crops[valid] for crops, valid in zip(images, batch.valid, strict=True)],
            [answers[valid] for answers, valid in zip(right, batch.valid, strict=True)],
        )

    def save(self, path: Path, variables: Variables) -> None:
        """Write weights and words to a folder that `load_clip` reads."""
        model = self.make_model(variables)
        save_clip(path, model.replace(tokeniser=self._tokeniser))  # pyright: ignore[reportAttributeAccessIssue]


_measure = jax.jit(measure_matching)


def _tabulate(tokeniser: ClipTokeniser) -> tuple[np.ndarray, tuple[int, int]]:
    """The token of each word of drawings, and those of the start and the end."""
    tokens = tokeniser(list(WORDS))
    return tokens[:, 1].astype(np.int32), (tokeniser.words[START], tokeniser.words[END])
