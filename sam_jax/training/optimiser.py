"""The optimiser: AdamW as SAM trains with it (appendix A), or Muon, as optax transforms."""

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import jax
import optax
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from sam_jax.ops.arguments import check_finite
from sam_jax.training.parameters import (
    check_patterns,
    find_hidden,
    is_decayed,
    layer_factor,
    map_paths,
)
from sam_jax.types import InputError

UPDATE_OF_ADAM = 0.2
"""Root mean square of Adam's updates in the long run, at a rate of 1.

Source: [Liu et al. 2025](https://arxiv.org/abs/2502.16982), Muon is Scalable for LLM Training, section 2.2.
"""


@dataclass(frozen=True, kw_only=True)
class StepDecay:
    """The learning rate falls by a factor at certain steps.

    Attributes:
        milestones: The steps at which the rate falls, rising.
        factor: Factor of the rate at each milestone, in (0, 1].

    Raises:
        InputError: A value is out of its range.
    """

    milestones: tuple[int, ...] = (60_000, 86_666)
    factor: float = 0.1

    def __post_init__(self) -> None:
        if (
            list(self.milestones) != sorted(set(self.milestones))
            or min(self.milestones, default=1) < 1
        ):
            raise InputError(f"milestones {self.milestones} must be positive and rise")
        if not 0 < self.factor <= 1:
            raise InputError(f"factor is above 0 and at most 1, not {self.factor}")


@dataclass(frozen=True, kw_only=True)
class CosineDecay:
    """The learning rate falls like half a cosine from the end of warm-up to the last step.

    Attributes:
        last_share: Share of the full rate that is left at the end, in [0, 1].

    Raises:
        InputError: The share is out of its range.
    """

    last_share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.last_share <= 1:
            raise InputError(f"last_share is between 0 and 1, not {self.last_share}")


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW or Muon; the defaults are the paper's for ViT-H.

    Muon orthogonalises the momentum of hidden kernels, scaled so that rates that suit AdamW suit it too, and leaves the
    other parameters to Adam. It takes fewer steps where weights start at random.

    Sources: [Loshchilov and Hutter 2019](https://arxiv.org/abs/1711.05101) for AdamW;
    [Jordan et al. 2024](https://kellerjordan.github.io/posts/muon/) and
    [Liu et al. 2025](https://arxiv.org/abs/2502.16982) for Muon.

    Attributes:
        method: "adamw" or "muon".
        rate: Learning rate at the end of warm-up, above 0.
        warmup_steps: Number of steps over which the rate rises linearly from 0.
        decay: How the rate falls after warm-up.
        beta1: Decay of Adam's running mean of gradients, in [0, 1).
        beta2: Decay of Adam's running mean of squared gradients, in [0, 1).
        weight_decay: Share of a kernel that each step takes away, in units of the learning rate.
        layer_decay: Factor of the rate from one encoder block to the one before it, in (0, 1].
        rate_factors: Patterns of paths, as of `frozen`, each with a factor of those parameters' rate. New layers that
            start at zero between trained ones need 5 to 10.
        clip_norm: Largest norm of all gradients together; longer gradients are scaled down to it. None for no limit.

    Raises:
        InputError: A value is out of its range.
    """

    method: Literal["adamw", "muon"] = "adamw"
    rate: float = 8e-4
    warmup_steps: int = 250
    decay: StepDecay | CosineDecay = StepDecay()
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.1
    layer_decay: float = 0.8
    rate_factors: tuple[tuple[str, float], ...] = ()
    clip_norm: float | None = 1.0

    def __post_init__(self) -> None:
        check_finite(self)
        if self.method not in ("adamw", "muon"):
            raise InputError(f"method is adamw or muon, not {self.method!r}")
        if self.rate <= 0:
            raise InputError(f"rate is above 0, not {self.rate}")
        if self.warmup_steps < 0:
            raise InputError(f"warmup_steps is not negative, not {self.warmup_steps}")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise InputError(
                f"beta1 and beta2 are from 0 to below 1, not {self.beta1}, {self.beta2}"
            )
        if self.weight_decay < 0:
            raise InputError(f"weight_decay is not negative, not {self.weight_decay}")
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"layer_decay is above 0 and at most 1, not {self.layer_decay}")
        for pattern, factor in self.rate_factors:
            if factor <= 0:
                raise InputError(f"rate_factors are above 0, not {factor} of {pattern!r}")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise InputError(f"clip_norm is above 0, or None for no limit, not {self.clip_norm}")


def make_schedule(config: OptimiserConfig, steps: int) -> optax.Schedule:
    """The learning rate as a function of the step, for a run of `steps` steps."""
    warmup = config.warmup_steps
    if isinstance(config.decay, CosineDecay):
        falling = max(steps - warmup, 1)
        after = optax.cosine_decay_schedule(config.rate, falling, config.decay.last_share)
    else:
        falls = {milestone - warmup: config.decay.factor for milestone in config.decay.milestones}
        after = optax.piecewise_constant_schedule(config.rate, falls)
    if warmup == 0:
        return after
    # Step 0 already moves the parameters: a first update of size 0 would be a step for nothing.
    rising = optax.linear_schedule(config.rate / warmup, config.rate, max(warmup - 1, 1))
    return optax.join_schedules([rising, after], [warmup])


def _scale(config: OptimiserConfig) -> optax.GradientTransformation:
    """The transform from gradients to updates of about the same size for every parameter."""
    adam = optax.scale_by_adam(config.beta1, config.beta2)
    if config.method == "adamw":
        return adam

    def axes(params: Any) -> Any:
        return jax.tree.map(
            lambda leaf: MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1), params
        )

    def match_adam(updates: Any, params: Any) -> Any:
        return jax.tree.map(
            lambda update: UPDATE_OF_ADAM * max(_fan_in(update), update.shape[-1]) ** 0.5 * update,
            updates,
        )

    muon = optax.chain(scale_by_muon(weight_dimension_numbers=axes), optax.stateless(match_adam))
    return optax.partition({True: muon, False: adam}, find_hidden)


def _fan_in(kernel: Any) -> int:
    return kernel.size // kernel.shape[-1]


def make_optimiser(config: OptimiserConfig, steps: int, depth: int) -> optax.GradientTransformation:
    """The chain of transforms: clipping, Adam or Muon, weight decay, a factor for each layer, learning rate.

    Its `init` raises an `InputError` if a pattern of `rate_factors` fits no parameter.

    Args:
        config: Configuration of the optimiser.
        steps: Number of steps of the whole run.
        depth: Number of encoder blocks, which layer-wise decay counts.
    """

    def factor_of(path: str) -> float:
        own = [factor for pattern, factor in config.rate_factors if fnmatchcase(path, pattern)]
        return math.prod(own, start=layer_factor(path, depth, config.layer_decay))

    def scale_by_layer(updates: Any, params: Any) -> Any:
        factors = map_paths(factor_of, updates)
        return jax.tree.map(lambda update, factor: factor * update, updates, factors)

    clip = [] if config.clip_norm is None else [optax.clip_by_global_norm(config.clip_norm)]
    chain = optax.chain(
        *clip,
        _scale(config),
        optax.add_decayed_weights(
            config.weight_decay, lambda params: map_paths(is_decayed, params)
        ),
        optax.stateless(scale_by_layer),
        optax.scale_by_learning_rate(make_schedule(config, steps)),
    )

    def init(params: Any) -> Any:
        check_patterns("rate_factors", [pattern for pattern, _ in config.rate_factors], params)
        return chain.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        # optax raises floats to the power of its integer count of steps, which strict promotion refuses.
        with jax.numpy_dtype_promotion("standard"):
            return chain.update(updates, state, params)

    return optax.GradientTransformation(init, update)
