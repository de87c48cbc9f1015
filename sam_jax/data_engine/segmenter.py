"""Answers to prompts: embeddings of photos, kept in memory and on the disk, and masks as runs of the photo's pixels."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from sam_jax.data.example import Batch
from sam_jax.data.framing import Framing, frame_image
from sam_jax.data_engine.mask_states import Prompt
from sam_jax.inference.mask_prompts import mask_to_logits
from sam_jax.inference.predictor import EmbeddedImage
from sam_jax.inference.prompts import make_prompts, pad_points
from sam_jax.inference.settings import describe_model
from sam_jax.inference.steps import predict_masks
from sam_jax.models import Model
from sam_jax.ops.resize import TAPS, plan_mask_resize
from sam_jax.ops.rle import compress_counts, decode_rle
from sam_jax.training.embeddings import Embeddings
from sam_jax.types import ImageEmbedding, InputError, RunError

POINT_SIZES = (8, 32)
"""Prompts are filled up to one of these numbers of points: few programs, all compiled before anybody clicks."""
PREVIEW_SIDE = 512
"""Longest side in pixels of masks that are only to be looked at."""
_EMBEDDINGS_IN_MEMORY = 64
_ANSWERS_IN_MEMORY = 512
_COLUMNS_AT_ONCE = 512


class SegmentedMask(NamedTuple):
    """A mask that the model gives.

    Attributes:
        size: Height and width of the mask; less than the photo's if it is a preview.
        counts: COCO's string of its runs.
        predicted_iou: Predicted IoU of the mask.
    """

    size: tuple[int, int]
    counts: str
    predicted_iou: float


class Answer(NamedTuple):
    """The logits that follow from a prompt.

    Attributes:
        logits: Low-resolution logits, of three masks or of one.
        iou: Predicted IoU of each mask.
    """

    logits: Float[np.ndarray, "m h_low w_low"]
    iou: Float[np.ndarray, " m"]


class Segmenter:
    """A model that answers prompts of many photos, from several threads.

    Args:
        model: Model with its weights.
        folder: Folder of embeddings, of this and other models.
        most_bytes: Size that the embeddings of this model have on the disk at most.
        say: Prints a line about what went wrong without stopping the work.

    Attributes:
        digest: Digest of the model's configuration and weights.
    """

    def __init__(
        self, model: Model, folder: Path, most_bytes: int, say: Callable[[str], None]
    ) -> None:
        self.model = model
        self.digest = str(describe_model(model)["weights"])
        self._say = say
        self._store = Embeddings(folder, model.sam, model.variables["params"]["image_encoder"])
        self._most_bytes = most_bytes
        self._is_disk_full = False
        self._embedded: OrderedDict[str, EmbeddedImage] = OrderedDict()
        self._answers: OrderedDict[tuple[str, Prompt], Answer] = OrderedDict()
        self._encoding, self._decoding = threading.Lock(), threading.Lock()
        self._keeping = threading.Lock()
        self.is_ready = threading.Event()

    def compile(self) -> None:
        """Compile all programs: encoding a photo, and the prompts of a first click and of further ones."""
        frame = self.model.config.image_encoder.image_size
        framing = Framing(frame, frame, frame)
        zeros = np.zeros((*frame, 3), np.uint8)
        features = self._store.encode(zeros, np.array(frame, np.int32))
        features = jax.tree.map(lambda leaf: leaf[None], features)
        previous = np.zeros((1, *framing.low_size), np.float32)
        self._decode(features, framing, np.ones((1, 3)), None, None)
        self._decode(features, framing, np.ones((2, 3)), None, previous)
        self.is_ready.set()
        self._decode(features, framing, np.ones((0, 3)), (0.0, 0.0, 1.0, 1.0), None)
        self._decode(features, framing, np.ones((POINT_SIZES[0], 3)), None, previous)

    def has(self, key: str) -> bool:
        """Whether a photo's embedding is in memory."""
        with self._keeping:
            return key in self._embedded

    def embed(self, key: str, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
        """Make sure that a photo's embedding is in memory.

        Args:
            key: Name of the photo and its version.
            pixels: RGB pixels of the photo.

        Raises:
            InputError: The photo is too thin for the model.
        """
        if not self.has(key):
            with self._encoding:
                if not self.has(key):
                    framed, framing = frame_image(
                        pixels, self.model.config.image_encoder.image_size
                    )
                    features = jax.device_put(self._encode(framed, framing))
                    with self._keeping:
                        self._embedded[key] = EmbeddedImage(features, framing)
                        while len(self._embedded) > _EMBEDDINGS_IN_MEMORY:
                            self._embedded.popitem(last=False)

    def _encode(self, framed: UInt8[np.ndarray, "h w 3"], framing: Framing) -> ImageEmbedding:
        """The embedding of one image, from the disk or onto it, where the disk can take it."""
        fitted = np.array(framing.fitted, np.int32)
        no_masks = np.zeros((1, 0, *framing.low_size), bool)
        batch = Batch(framed[None], fitted[None], no_masks, np.zeros((1, 0), bool))
        try:
            embeddings = self._store.embed(batch).embeddings
            self._store.keep_within(self._most_bytes)
            return embeddings
        except (RunError, InputError) as error:
            if not self._is_disk_full:  # said once: every photo would say the same
                self._say(f"embeddings are not kept on the disk: {error}")
            self._is_disk_full = True
        alone = self._store.encode(framed, fitted)
        return jax.tree.map(lambda leaf: leaf[None], alone)

    def find(self, key: str) -> EmbeddedImage:
        """The embedding of a photo.

        Raises:
            KeyError: The embedding is not in memory.
        """
        with self._keeping:
            self._embedded.move_to_end(key)
            return self._embedded[key]

    def answer(self, key: str, prompt: Prompt) -> Answer:
        """Logits that follow from a prompt: its clicks one by one, each with the answer to those before it.

        Args:
            key: Name of a photo whose embedding is in memory.
            prompt: Prompt of one object.

        Raises:
            KeyError: The embedding is not in memory.
        """
        image = self.find(key)
        first = 0 if prompt.box else 1
        whole = (
            prompt if len(prompt.clicks) > first or prompt.base else prompt._replace(choice=None)
        )
        # From the longest part of the prompt that was answered before, on to all of it.
        for count in range(len(whole.clicks), first - 1, -1):
            known = self._recall(key, self._part(whole, count, first))
            if known is not None:
                break
        else:
            count, known = first - 1, None
        for number in range(count + 1, len(whole.clicks) + 1):
            part = self._part(whole, number, first)
            known = self._decode_part(image, part, known, prompt.choice)
            with self._keeping:
                self._answers[key, part] = known
                while len(self._answers) > _ANSWERS_IN_MEMORY:
                    self._answers.popitem(last=False)
        assert known is not None
        return known

    def _part(self, prompt: Prompt, count: int, first: int) -> Prompt:
        """The prompt up to a number of clicks; the choice of a mask matters only to what follows it."""
        is_first = count == first and prompt.base is None
        return prompt._replace(
            clicks=prompt.clicks[:count], choice=None if is_first else prompt.choice
        )

    def _recall(self, key: str, prompt: Prompt) -> Answer | None:
        with self._keeping:
            answer = self._answers.get((key, prompt))
            if answer is not None:
                self._answers.move_to_end((key, prompt))
            return answer

    def _decode_part(
        self, image: EmbeddedImage, prompt: Prompt, before: Answer | None, choice: int | None
    ) -> Answer:
        framing, previous = image.framing, None
        if before is not None:
            chosen = choose(before, choice)
            previous = before.logits[chosen : chosen + 1]
        elif prompt.base is not None:
            mask = decode_rle({"size": list(framing.original), "counts": prompt.base})
            previous = mask_to_logits(mask, framing.fitted, framing.frame)[None]
        clicks = np.array(prompt.clicks, np.float64).reshape(-1, 3)
        return self._decode(image.features, framing, clicks, prompt.box, previous)

    def _decode(
        self,
        features: ImageEmbedding,
        framing: Framing,
        clicks: Float[np.ndarray, "p 3"],
        box: tuple[float, float, float, float] | None,
        previous: Float[np.ndarray, "1 h_low w_low"] | None,
    ) -> Answer:
        prompts = make_prompts(
            framing,
            point_coords=clicks[None, :, :2] if len(clicks) else None,
            point_labels=clicks[None, :, 2].astype(np.int32) if len(clicks) else None,
            boxes=None if box is None else np.array([box], np.float64),
            mask_inputs=previous,
        )
        points = prompts.labels.shape[2]
        size = next(size for size in POINT_SIZES if size >= points)
        with self._decoding:
            logits, iou = predict_masks(
                self.model,
                features,
                pad_points(prompts, size),
                multimask_output=previous is None and box is None,  # a click alone is ambiguous
            )
            return Answer(np.asarray(logits[0, 0]), np.asarray(iou[0, 0]))

    def draw(self, key: str, answer: Answer, index: int, *, is_preview: bool) -> SegmentedMask:
        """Draw one of the masks of an answer.

        Args:
            key: Name of a photo whose embedding is in memory.
            answer: Answer to a prompt of the photo.
            index: Number of the mask in the answer.
            is_preview: Whether the mask is only to be looked at, and is no larger than `PREVIEW_SIDE`.

        Raises:
            KeyError: The embedding is not in memory.
        """
        framing = self.find(key).framing
        height, width = framing.original
        factor = min(1.0, PREVIEW_SIDE / max(height, width)) if is_preview else 1.0
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        counts = threshold_logits(answer.logits[index], framing, size)
        return SegmentedMask(size, compress_counts(counts), float(answer.iou[index]))


class ServedModel(NamedTuple):
    """A model that answers prompts, with all that has to change with it.

    Attributes:
        segmenter: The model, and the embeddings that it has made.
        name: What people call the model.
        number: Number of the model in the database.
    """

    segmenter: Segmenter
    name: str
    number: int


def choose(answer: Answer, choice: int | None) -> int:
    """The number of the mask that a choice means: of several the best where none was chosen, or the only one."""
    if len(answer.iou) == 1:
        return 0
    return int(answer.iou.argmax()) if choice is None else choice


class _Plan(NamedTuple):
    """How a row or column of a mask follows from the logits; see `sam_jax.ops.resize.MaskResize`."""

    columns: Float[np.ndarray, "w_low w"]
    weights: Float[np.ndarray, "3 h"]
    cells: Int[np.ndarray, " cells"]
    """First of the three rows of the logits that each group of rows of the mask mixes."""
    starts: Int[np.ndarray, " cells"]
    """First row of each group."""
    lengths: Int[np.ndarray, " cells"]
    """Number of rows of each group."""


@lru_cache(maxsize=64)
def _plan(framing: Framing, size: tuple[int, int]) -> _Plan:
    plan = plan_mask_resize(framing.low_size, framing.frame, framing.fitted, size)
    cells, starts, lengths = np.unique(
        np.asarray(plan.first_row), return_index=True, return_counts=True
    )
    return _Plan(np.asarray(plan.columns), np.asarray(plan.row_weights), cells, starts, lengths)


def threshold_logits(
    logits: Float[np.ndarray, "h_low w_low"], framing: Framing, size: tuple[int, int]
) -> list[int]:
    """Lengths of the runs of a mask, from its logits, without drawing it.

    A row of the mask mixes three rows of the logits. Where these have one sign, so has the mask; only near its outline
    are pixels computed. So a photo of 100 megapixels costs little more than a small one.

    Args:
        logits: Low-resolution logits of the mask.
        framing: Place of the photo in the model's input.
        size: Height and width of the mask: the photo's, or less.
    """
    height, width = size
    plan = _plan(framing, size)
    touched = (plan.columns[(logits > 0).any(axis=0)] > 0).any(axis=0)
    edges, is_inside = [np.zeros(0, np.int64)], False
    if touched.any():
        left, right = np.flatnonzero(touched)[[0, -1]]
        for start in range(left, right + 1, _COLUMNS_AT_ONCE):
            stop = min(start + _COLUMNS_AT_ONCE, right + 1)
            places, values = _sample(plan.columns[:, start:stop].T @ logits.T, plan)
            before = np.r_[is_inside, values[:-1]]
            edges.append(places[values != before] + start * height)
            is_inside = bool(values[-1])
        if is_inside:
            edges.append(np.array([(right + 1) * height]))
    counts = np.diff(np.r_[0, np.concatenate(edges), height * width]).tolist()
    if len(counts) > 1 and counts[-1] == 0:
        counts.pop()
    return counts


def _sample(
    wide: Float[np.ndarray, "w h_low"], plan: _Plan
) -> tuple[Int[np.ndarray, " samples"], Bool[np.ndarray, " samples"]]:
    """Places, column by column, and whether the mask has them and all up to the next."""
    height = plan.weights.shape[1]
    is_positive = wide > 0
    inside = np.stack([is_positive[:, plan.cells + tap] for tap in range(TAPS)]).sum(axis=0)
    is_mixed = ((inside > 0) & (inside < TAPS)).ravel()
    samples = np.where(is_mixed, np.tile(plan.lengths, len(wide)), 1)
    cell = np.repeat(np.arange(samples.size), samples)
    first_sample = np.cumsum(samples) - samples
    step = np.arange(cell.size) - first_sample[cell]
    column, group = np.divmod(cell, plan.cells.size)
    row = plan.starts[group] + step
    values = (inside == TAPS).ravel()[cell]
    mixed = np.flatnonzero(is_mixed[cell])
    mixed_column, mixed_row, low = column[mixed], row[mixed], plan.cells[group[mixed]]
    mixture = sum(
        wide[mixed_column, low + tap] * plan.weights[tap, mixed_row] for tap in range(TAPS)
    )
    values[mixed] = mixture > 0
    return column * height + row, values
