"""Training by simulated interaction: an annotator clicks where the last mask was wrong.

Source: [SAM](https://arxiv.org/abs/2304.02643), appendix A, "Training algorithm".
"""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from sam_jax.data.simulated_clicks import sample_box, sample_error_point, sample_point
from sam_jax.data.transforms import CELL
from sam_jax.losses import SamLosses, sam_mask_loss
from sam_jax.models import Model, decode_masks, encode_prompts
from sam_jax.ops.arguments import check_finite
from sam_jax.ops.batching import map_groups
from sam_jax.types import AnyArray, InputError, MaskPrediction, PointLabel, Prompts

_TEXT = 3
"""Number of the stream of an image's draws about text; the key itself is split into those of the others."""


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """The simulated annotator. The defaults are the paper's, for an input of 1024 pixels.

    The model is prompted several times for each mask: first by a point in the mask or a box around it, then by one more
    point each time, drawn where the mask before was wrong, with the logits of that mask as the mask prompt.

    Attributes:
        iterations: Number of prompts for a mask.
        refine_iterations: Number of iterations that add no point, so that the model learns to make use of its mask
            prompt: with 1 the last iteration, with 2 also one at a random place before the last.
        box_share: Probability, in [0, 1], that the first prompt is a box.
        centre_share: Probability, in [0, 1], that a point is the one farthest from the border of the mask, or of the
            error region: annotators like to click there, and evaluation with one click measures it. The paper draws
            every point uniformly.
        box_jitter: Standard deviation of the noise of a box's coordinates, as a share of the box's side.
        box_jitter_limit: Largest noise of a box's coordinates, in pixels of the padded input.
        text_alone_share: Probability, in [0, 1], that a mask that has text has only text as its first prompt, as in the
            paper; else it has a point or a box, too.
        text_share: Probability, in [0, 1], that a mask that has text is prompted by it, as in the paper; else it has a
            point or a box only, as masks without text have.
    """

    iterations: int = 11
    refine_iterations: int = 2
    box_share: float = 0.5
    centre_share: float = 0.0
    box_jitter: float = 0.1
    box_jitter_limit: float = 20.0
    text_alone_share: float = 1.0
    text_share: float = 1.0

    def __post_init__(self) -> None:
        check_finite(self)
        if self.iterations < 1:
            raise InputError(f"iterations is at least 1, not {self.iterations}")
        if not 0 <= self.refine_iterations <= min(2, self.iterations - 1):
            raise InputError(
                f"refine_iterations is 0, 1 or 2, and fewer than the {self.iterations} iterations, "
                f"not {self.refine_iterations}"
            )
        for name in ("box_share", "centre_share", "text_alone_share", "text_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is a probability from 0 to 1, not {getattr(self, name)}")
        if self.box_jitter < 0 or self.box_jitter_limit < 0:
            raise InputError("box_jitter and box_jitter_limit are not negative")


class Metrics(NamedTuple):
    """Losses and IoU of simulated sessions: sums over masks, so that parts of a batch add up, until `means`.

    Attributes:
        masks: Number of masks.
        loss: The training objective: `mask` + `iou_error`, the mean over iterations.
        mask: 20 · focal + dice, the mean over iterations.
        focal: Focal loss, the mean over iterations.
        dice: Dice loss, the mean over iterations.
        iou_error: Squared error of the predicted IoU, the mean over iterations.
        first_iou: IoU, after the first iteration, of the truth and the mask of highest predicted IoU.
        last_iou: The same IoU after the last iteration.
    """

    masks: Float[Array, ""]
    loss: Float[Array, ""]
    mask: Float[Array, ""]
    focal: Float[Array, ""]
    dice: Float[Array, ""]
    iou_error: Float[Array, ""]
    first_iou: Float[Array, ""]
    last_iou: Float[Array, ""]

    @property
    def total(self) -> Float[Array, ""]:
        """Number of masks."""
        return self.masks

    def means(self) -> "Metrics":
        """Means over masks in place of sums; 0 where there is no mask."""
        masks, *sums = self
        divisor = jnp.maximum(masks, 1.0)
        return Metrics(masks, *(total / divisor for total in sums))


class Session(NamedTuple):
    """What happened to each mask of a batch.

    Attributes:
        points: Points in pixels of the padded input, x and y, in the order of iterations; the first two are the first
            prompt.
        labels: The `PointLabel` of each point.
        first: Logits of the mask of highest predicted IoU after the first iteration.
        last: Logits of the mask of highest predicted IoU after the last iteration.
    """

    points: Float[Array, "b n p 2"]
    labels: Int[Array, "b n p"]
    first: Float[Array, "b n h w"]
    last: Float[Array, "b n h w"]


class _State(NamedTuple):
    """What is carried from one iteration to the next."""

    points: Float[Array, "b n p 2"]
    labels: Int[Array, "b n p"]
    logits: Float[Array, "b n h w"]


class _Answer(NamedTuple):
    """Logits and real IoU of each prompt's mask of highest predicted IoU, and the losses of the prompt."""

    logits: Float[Array, "b n h w"]
    iou: Float[Array, "b n"]
    losses: SamLosses


class _Held(NamedTuple):
    """What happened in sessions; `later` has losses and IoU of the iterations after the first, if there are any."""

    first: _Answer
    later: tuple[SamLosses, Float[Array, "b n i"]] | None
    points: Float[Array, "b n p 2"]
    labels: Int[Array, "b n p"]
    last: Float[Array, "b n h w"]


def simulate_session(
    model: Model,
    embeddings: PyTree[Float[AnyArray, "b ..."]],
    fitted: Int[AnyArray, "b 2"],
    truth: Bool[AnyArray, "b n h w"],
    valid: Bool[AnyArray, "b n"],
    keys: Key[Array, " b"],
    interaction: Interaction,
    text: Float[AnyArray, "b n k c"] | None = None,
) -> tuple[Metrics, Session]:
    """Prompt for every mask, correct the answers, and add up the losses.

    Gradients flow through every iteration, and through the mask prompts from one iteration to the next, but not through
    what the annotator does. Iterations after the first are computed again in the backward pass, so their number hardly
    costs memory. Of more masks than `Compute.prompts_at_once`, those of some images, or some of one image, go through
    all iterations before the next begin, and the first iteration is computed again, too.

    Args:
        model: The model to train.
        embeddings: Image embeddings, from `encode_image`.
        fitted: Height and width of each photo inside its padded input, in pixels.
        truth: Masks at the size of low-resolution logits.
        valid: Whether a mask counts; the others only fill up the batch.
        keys: One key for each image, so that a session does not depend on the other images of the batch.
        interaction: Settings of the simulated annotator.
        text: CLIP's embeddings of each mask, of which one is drawn that stays a prompt in all iterations; zeros for
            masks that have none.

    Returns:
        Metrics summed over masks, and what happened.
    """
    truth, valid = jnp.asarray(truth), jnp.asarray(valid)
    b, n, h, w = truth.shape
    at_once = model.compute.prompts_at_once
    text = None if text is None else jnp.asarray(text)
    images = (embeddings, find_inside(fitted, (h, w)), keys, truth, text)

    def hold(images: Any) -> _Held:
        embeddings, inside, keys, truth, text = images
        hold_some = functools.partial(
            _hold_session, model, embeddings, inside, keys, n, interaction, at_once < b * n
        )
        if at_once >= n:
            return hold_some(jnp.arange(n), truth, text)

        def hold_group(group: Any) -> _Held:
            places, *of_masks = group
            return jax.tree.map(_swap, hold_some(places, *jax.tree.map(_swap, of_masks)))

        masks = (jnp.arange(n), *jax.tree.map(_swap, (truth, text)))
        return jax.tree.map(_swap, map_groups(hold_group, masks, at_once))

    # What a few masks need stays in a TPU's own memory from one operation to the next.
    together = max(1, at_once // n)
    held = hold(images) if together >= b else map_groups(hold, images, together)
    metrics = _add_up(held, valid)
    return metrics, Session(held.points, held.labels, held.first.logits, held.last)


def _swap(leaf: Array) -> Array:
    return leaf.swapaxes(0, 1)


def _hold_session(
    model: Model,
    embeddings: PyTree[Float[AnyArray, "b ..."]],
    inside: Bool[Array, "b h w"],
    keys: Key[Array, " b"],
    count: int,
    interaction: Interaction,
    is_one_of_many: bool,
    places: Int[Array, " m"],
    truth: Bool[Array, "b m h w"],
    text: Float[Array, "b m k c"] | None,
) -> _Held:
    """The sessions of some of each image's `count` masks, of which `places` are the numbers.

    As one of many, it keeps nothing of the first iteration for the backward pass.
    """
    iterations = interaction.iterations
    key_first, key_idle, key_later = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(
        keys
    )

    def of_masks(keys: Key[Array, " b"]) -> Key[Array, "b m"]:
        return jax.vmap(lambda key: jax.random.split(key, count)[places])(keys)

    def answer(prompts: Prompts, *, multimask_output: bool) -> _Answer:
        prediction = decode_masks(
            model, embeddings, encode_prompts(model, prompts), multimask_output=multimask_output
        )
        of_image = jax.vmap(sam_mask_loss, in_axes=(0, 0, 0, None))
        losses = jax.vmap(of_image)(prediction.logits, truth, prediction.iou, inside)
        return _Answer(*_most_confident(prediction, losses), losses)

    first_prompt = jax.vmap(jax.vmap(lambda key, mask: _first_prompt(key, mask, interaction)))
    points, labels = first_prompt(of_masks(key_first), truth)
    drawn = None
    if text is not None:
        key_text = of_masks(jax.vmap(lambda key: jax.random.fold_in(key, _TEXT))(keys))
        draw = jax.vmap(
            jax.vmap(lambda key, mask, label: _draw_text(key, mask, label, interaction))
        )
        drawn, labels = draw(key_text, text, labels)
    later = ((0, 0), (0, 0), (0, iterations - 1))
    points = jnp.pad(points, (*later, (0, 0)))
    labels = jnp.pad(labels, later, constant_values=PointLabel.ABSENT)
    begin = functools.partial(answer, multimask_output=True)
    first = (jax.checkpoint(begin) if is_one_of_many else begin)(
        Prompts(points, labels, text=drawn)
    )

    idle = jax.vmap(jax.vmap(lambda key: _idle_iteration(key, interaction)))(of_masks(key_idle))
    one = functools.partial(sample_error_point, cell=CELL, centre_share=interaction.centre_share)
    correct = jax.vmap(jax.vmap(one, (0, 0, 0, None)))

    def iterate(state: _State, index: Int[Array, ""]) -> tuple[_State, tuple[SamLosses, Array]]:
        keys = of_masks(jax.vmap(lambda key: jax.random.fold_in(key, index))(key_later))
        point, label = correct(keys, jax.lax.stop_gradient(state.logits) > 0, truth, inside)
        is_idle = index == idle
        if interaction.refine_iterations > 0:
            is_idle |= index == iterations - 1
        label = jnp.where(is_idle, PointLabel.ABSENT, label)
        points = state.points.at[:, :, index + 1].set(point)
        labels = state.labels.at[:, :, index + 1].set(label)
        prompts = Prompts(points, labels, state.logits, drawn)
        later = answer(prompts, multimask_output=False)
        return _State(points, labels, later.logits), (later.losses, later.iou)

    state, later = _State(points, labels, first.logits), None
    if iterations > 1:  # A loop that never runs would be traced all the same.
        state, later = jax.lax.scan(jax.checkpoint(iterate), state, jnp.arange(1, iterations))
        later = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), later)
    return _Held(first, later, state.points, state.labels, state.logits)


def _add_up(held: _Held, valid: Bool[Array, "b n"]) -> Metrics:
    """Means over iterations, summed over masks."""
    first, later = held.first, held.later

    def total(name: str) -> Float[Array, ""]:
        mean = getattr(first.losses, name)
        if later is not None:
            losses, iou = later
            mean = (mean + getattr(losses, name).sum(axis=-1)) / (1 + iou.shape[-1])
        return jnp.where(valid, mean, 0.0).sum()

    mask, iou_error = total("mask"), total("iou_error")
    last_iou = first.iou if later is None else later[1][..., -1]
    return Metrics(
        masks=valid.sum(dtype=jnp.float32),
        loss=mask + iou_error,
        mask=mask,
        focal=total("focal"),
        dice=total("dice"),
        iou_error=iou_error,
        first_iou=jnp.where(valid, first.iou, 0.0).sum(),
        last_iou=jnp.where(valid, last_iou, 0.0).sum(),
    )


def find_inside(fitted: Int[AnyArray, "b 2"], low_size: tuple[int, int]) -> Bool[Array, "b h w"]:
    """Cells of low-resolution masks that hold any of the photo; the others are padding."""
    rows, columns = (CELL * jnp.arange(side) for side in low_size)
    in_rows = rows[None, :] < fitted[:, :1]
    in_columns = columns[None, :] < fitted[:, 1:]
    return in_rows[:, :, None] & in_columns[:, None, :]


def _first_prompt(
    key: Key[Array, ""], mask: Bool[Array, "h w"], interaction: Interaction
) -> tuple[Float[Array, "2 2"], Int[Array, "2"]]:
    """A point and the padding point, or a box's corners."""
    key_kind, key_point, key_box = jax.random.split(key, 3)
    place = sample_point(key_point, mask, CELL, interaction.centre_share)
    point = jnp.stack([place, jnp.zeros(2)])
    box = sample_box(key_box, mask, CELL, interaction.box_jitter, interaction.box_jitter_limit)
    is_box = jax.random.bernoulli(key_kind, interaction.box_share)
    labels = jnp.where(
        is_box,
        jnp.array([PointLabel.TOP_LEFT, PointLabel.BOTTOM_RIGHT]),
        jnp.array([PointLabel.FOREGROUND, PointLabel.NOT_A_POINT]),
    )
    return jnp.where(is_box, box.reshape(2, 2), point), labels.astype(jnp.int32)


def _draw_text(
    key: Key[Array, ""],
    text: Float[Array, "k c"],
    labels: Int[Array, "2"],
    interaction: Interaction,
) -> tuple[Float[Array, " c"], Int[Array, "2"]]:
    """One of a mask's embeddings or none, and the labels of the first prompt: a point or a box, unless text is alone.

    Text alone has the padding point, as points have.
    """
    key_variant, key_alone, key_any = jax.random.split(key, 3)
    drawn = text[jax.random.randint(key_variant, (), 0, len(text))]
    drawn = jnp.where(jax.random.bernoulli(key_any, interaction.text_share), drawn, 0)
    is_alone = jax.random.bernoulli(key_alone, interaction.text_alone_share) & (drawn != 0).any()
    alone = jnp.array([PointLabel.ABSENT, PointLabel.NOT_A_POINT], jnp.int32)
    return drawn, jnp.where(is_alone, alone, labels)


def _idle_iteration(key: Key[Array, ""], interaction: Interaction) -> Int[Array, ""]:
    """The iteration between the first and the last that adds no point; 0, the first, if there is none."""
    if interaction.refine_iterations < 2:
        return jnp.zeros((), jnp.int32)
    return jax.random.randint(key, (), 1, max(2, interaction.iterations - 1))


def _most_confident(
    answer: MaskPrediction, losses: SamLosses
) -> tuple[Float[Array, "b n h w"], Float[Array, "b n"]]:
    """Logits of each prompt's mask of highest predicted IoU, and their real IoU."""
    best = jnp.argmax(answer.iou, axis=2, keepdims=True)
    logits = jnp.take_along_axis(answer.logits, best[..., None, None], axis=2)[:, :, 0]
    return logits, jnp.take_along_axis(losses.real_iou, best, axis=2)[:, :, 0]
