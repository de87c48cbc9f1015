"""Training by simulated interaction: an annotator who clicks where the last mask was wrong (SAM, appendix A)."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from sam_jax.data.simulated_clicks import sample_box, sample_error_point, sample_point
from sam_jax.losses import SamLosses, sam_mask_loss
from sam_jax.models import Model, decode_masks, encode_prompts
from sam_jax.types import ImageEmbedding, InputError, MaskPrediction, PointLabel, Prompts

CELL = 4
"""Pixels of the input along a cell of low-resolution logits."""


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """How a session goes; the defaults are the paper's, for an input of 1024 pixels.

    Attributes:
        rounds: answers of the model in a session. The first is to a point in the mask or a box around it, the others to
            one more point each, in the error region of the answer before, which is the mask prompt.
        refine_rounds: of those, how many add no point: with 1 the last, with 2 also one at a random place before it.
        box_share: chance that a session begins with a box.
        centre_share: chance that a point is the one farthest from the border of the mask, or of the error region, where
            annotators like to click, and where one click is measured (`sam_jax.evaluation`). The paper's trainer clicks
            anywhere in it.
        box_jitter: noise of the box's coordinates, as a share of its side.
        box_jitter_limit: most that a coordinate is off, in pixels of the input.
    """

    rounds: int = 11
    refine_rounds: int = 2
    box_share: float = 0.5
    centre_share: float = 0.0
    box_jitter: float = 0.1
    box_jitter_limit: float = 20.0

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(f"rounds is at least 1, not {self.rounds}")
        if not 0 <= self.refine_rounds <= min(2, self.rounds - 1):
            raise InputError(
                f"refine_rounds is 0, 1 or 2, and fewer than the {self.rounds} rounds, not {self.refine_rounds}"
            )
        if not 0 <= self.box_share <= 1:
            raise InputError(f"box_share is a chance between 0 and 1, not {self.box_share}")
        if not 0 <= self.centre_share <= 1:
            raise InputError(f"centre_share is a chance between 0 and 1, not {self.centre_share}")
        if self.box_jitter < 0 or self.box_jitter_limit < 0:
            raise InputError("box_jitter and box_jitter_limit are not negative")


class Sums(NamedTuple):
    """Losses and IoU, summed over masks so that parts of a batch add up; divide by `masks` for means.

    Attributes:
        masks: how many.
        loss: what is minimised: `mask` and `iou_error`, the mean over rounds.
        mask, focal, dice, iou_error: its parts; see `sam_jax.losses.SamLosses`.
        first_iou, last_iou: IoU of truth and the mask of highest predicted IoU, after the first and the last round.
    """

    masks: Float[Array, ""]
    loss: Float[Array, ""]
    mask: Float[Array, ""]
    focal: Float[Array, ""]
    dice: Float[Array, ""]
    iou_error: Float[Array, ""]
    first_iou: Float[Array, ""]
    last_iou: Float[Array, ""]


class Session(NamedTuple):
    """What happened in a session.

    Attributes:
        points: where the user pointed, round by round: the first two belong to the first prompt.
        labels: a `PointLabel` for each.
        first: logits of the first round's mask of highest predicted IoU.
        last: logits of the last round's.
    """

    points: Float[Array, "b n p 2"]
    labels: Int[Array, "b n p"]
    first: Float[Array, "b n h w"]
    last: Float[Array, "b n h w"]


class _State(NamedTuple):
    points: Float[Array, "b n p 2"]
    labels: Int[Array, "b n p"]
    logits: Float[Array, "b n h w"]


def simulate_session(
    model: Model,
    embeddings: ImageEmbedding,
    truth: Bool[Array, "b n h w"],
    valid: Bool[Array, "b n"],
    inside: Bool[Array, "b h w"],
    keys: Key[Array, " b"],
    interaction: Interaction,
) -> tuple[Sums, Session]:
    """Prompt for every mask, correct the answers, and add up what they cost.

    Gradients flow through every round and through the mask prompts from round to round, but not through what the user
    does. Rounds after the first are computed again in the backward pass, so their number hardly costs memory.

    Args:
        model: to train.
        embeddings: of the images.
        truth: masks at the size of low-resolution logits.
        valid: which of them count.
        inside: what of an image's frame belongs to the photo.
        keys: one for each image, so that it doesn't matter what else is in the batch.
        interaction: how a session goes.
    """
    n = truth.shape[1]
    key_first, key_idle, key_rounds = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(
        keys
    )

    def of_masks(keys: Key[Array, " b"]) -> Key[Array, "b n"]:
        return jax.vmap(lambda key: jax.random.split(key, n))(keys)

    def losses_of(prediction: MaskPrediction) -> SamLosses:
        of_image = jax.vmap(sam_mask_loss, in_axes=(0, 0, 0, None))
        return jax.vmap(of_image)(prediction.logits, truth, prediction.iou, inside)

    first = jax.vmap(jax.vmap(lambda key, mask: _first_prompt(key, mask, interaction)))
    two_points, two_labels = first(of_masks(key_first), truth)
    later = ((0, 0), (0, 0), (0, interaction.rounds - 1))
    points = jnp.pad(two_points, (*later, (0, 0)))
    labels = jnp.pad(two_labels, later, constant_values=PointLabel.ABSENT)

    answer = _answer(model, embeddings, Prompts(points, labels), multimask_output=True)
    losses = losses_of(answer)
    chosen, first_iou = _most_confident(answer, losses)
    idle = jax.vmap(jax.vmap(lambda key: _idle_round(key, interaction)))(of_masks(key_idle))

    one = functools.partial(sample_error_point, cell=CELL, centre_share=interaction.centre_share)
    correct = jax.vmap(jax.vmap(one, (0, 0, 0, None)))

    def play(state: _State, index: Int[Array, ""]) -> tuple[_State, tuple[SamLosses, Array]]:
        round_keys = jax.vmap(lambda key: jax.random.fold_in(key, index))(key_rounds)
        predicted = jax.lax.stop_gradient(state.logits) > 0
        point, label = correct(of_masks(round_keys), predicted, truth, inside)
        last_is_idle = interaction.refine_rounds > 0
        is_idle = (index == idle) | (last_is_idle & (index == interaction.rounds - 1))
        label = jnp.where(is_idle, PointLabel.ABSENT, label)
        points = state.points.at[:, :, index + 1].set(point)
        labels = state.labels.at[:, :, index + 1].set(label)
        prompts = Prompts(points, labels, state.logits)
        answer = _answer(model, embeddings, prompts, multimask_output=False)
        losses = losses_of(answer)
        logits, iou = _most_confident(answer, losses)
        return _State(points, labels, logits), (losses, iou)

    rounds = jnp.arange(1, interaction.rounds)
    state = _State(points, labels, chosen)
    state, (later_losses, later_iou) = jax.lax.scan(jax.checkpoint(play), state, rounds)

    def total(of_first: Float[Array, "b n"], of_later: Float[Array, "r b n"]) -> Float[Array, ""]:
        mean = (of_first + of_later.sum(axis=0)) / interaction.rounds
        return jnp.where(valid, mean, 0.0).sum()

    mask, focal, dice, iou_error = (
        total(getattr(losses, name), getattr(later_losses, name))
        for name in ("mask", "focal", "dice", "iou")
    )
    last_iou = later_iou[-1] if interaction.rounds > 1 else first_iou
    sums = Sums(
        masks=valid.sum(dtype=jnp.float32),
        loss=mask + iou_error,
        mask=mask,
        focal=focal,
        dice=dice,
        iou_error=iou_error,
        first_iou=jnp.where(valid, first_iou, 0.0).sum(),
        last_iou=jnp.where(valid, last_iou, 0.0).sum(),
    )
    return sums, Session(state.points, state.labels, chosen, state.logits)


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


def _idle_round(key: Key[Array, ""], interaction: Interaction) -> Int[Array, ""]:
    """The round between the first and the last that adds no point; 0, the first, if there is none."""
    if interaction.refine_rounds < 2:
        return jnp.zeros((), jnp.int32)
    return jax.random.randint(key, (), 1, max(2, interaction.rounds - 1))


def _answer(
    model: Model,
    embeddings: ImageEmbedding,
    prompts: Prompts,
    *,
    multimask_output: bool,
) -> MaskPrediction:
    prompt_embeddings = encode_prompts(model, prompts)
    return decode_masks(model, embeddings, prompt_embeddings, multimask_output=multimask_output)


def _most_confident(
    answer: MaskPrediction, losses: SamLosses
) -> tuple[Float[Array, "b n h w"], Float[Array, "b n"]]:
    """Logits of each prompt's mask of highest predicted IoU, and their real IoU."""
    best = jnp.argmax(answer.iou, axis=2, keepdims=True)
    logits = jnp.take_along_axis(answer.logits, best[..., None, None], axis=2)[:, :, 0]
    return logits, jnp.take_along_axis(losses.real_iou, best, axis=2)[:, :, 0]
