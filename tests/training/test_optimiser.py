import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from sam_jax.training.optimiser import (
    CosineDecay,
    OptimiserConfig,
    StepDecay,
    make_optimiser,
    make_schedule,
)
from sam_jax.types import InputError

DEPTH = 2
PATHS = {
    "image_encoder/patch_embed/kernel": (0.8**3, 0.1),
    "image_encoder/blocks_0/attn/qkv/bias": (0.8**2, 0.0),
    "image_encoder/blocks_1/attn/qkv/kernel": (0.8, 0.1),
    "mask_decoder/iou_token": (1.0, 0.0),
    "mask_decoder/lin/kernel": (1.0, 0.1),
}


def tree(leaves):
    nested = {}
    for path, leaf in zip(PATHS, leaves, strict=True):
        *folders, name = path.split("/")
        node = nested
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = leaf
    return nested


def leaves_of(nested):
    return [jax.tree.reduce(lambda _, leaf: leaf, _at(nested, path), None) for path in PATHS]


def _at(nested, path):
    for name in path.split("/"):
        nested = nested[name]
    return nested


def test_ten_updates_equal_those_of_torch():
    config = OptimiserConfig(rate=1e-2, warmup_steps=3, decay=StepDecay(milestones=(6,)))
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(3, 2)).astype(np.float32) for _ in PATHS]
    optimiser = make_optimiser(config, steps=10, depth=DEPTH)
    params = tree([jnp.asarray(leaf) for leaf in start])
    state = optimiser.init(params)
    mine = [torch.nn.Parameter(torch.from_numpy(leaf.copy())) for leaf in start]
    groups = [
        {"params": [leaf], "lr": 0.0, "weight_decay": decay, "factor": factor}
        for leaf, (factor, decay) in zip(mine, PATHS.values(), strict=True)
    ]
    theirs = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)
    for step in range(10):
        rate = 1e-2 * (min(step + 1, 3) / 3) * (0.1 if step >= 6 else 1.0)
        gradients = [rng.normal(size=(3, 2)).astype(np.float32) for _ in PATHS]
        updates, state = optimiser.update(tree(list(map(jnp.asarray, gradients))), state, params)
        params = optax.apply_updates(params, updates)
        for group, leaf, gradient in zip(theirs.param_groups, mine, gradients, strict=True):
            group["lr"] = rate * group["factor"]
            leaf.grad = torch.from_numpy(gradient.copy())
        torch.nn.utils.clip_grad_norm_(mine, 1.0)
        theirs.step()
    for ours, leaf in zip(leaves_of(params), mine, strict=True):
        np.testing.assert_allclose(ours, leaf.detach().numpy(), rtol=2e-5, atol=1e-6)


def test_the_papers_rates():
    rate = make_schedule(OptimiserConfig(), steps=90_000)
    steps = [0, 124, 249, 250, 59_999, 60_000, 86_665, 86_666, 89_999]
    expected = [8e-4 / 250, 4e-4, 8e-4, 8e-4, 8e-4, 8e-5, 8e-5, 8e-6, 8e-6]
    np.testing.assert_allclose([float(rate(step)) for step in steps], expected, rtol=1e-4)


def test_a_cosine_ends_at_its_last_share():
    config = OptimiserConfig(rate=2.0, warmup_steps=10, decay=CosineDecay(last_share=0.1))
    rate = make_schedule(config, steps=110)
    np.testing.assert_allclose(
        [float(rate(step)) for step in (9, 10, 60, 110)], [2.0, 2.0, 1.1, 0.2], rtol=1e-5
    )


def test_without_warmup_the_first_step_has_the_full_rate():
    config = OptimiserConfig(rate=2.0, warmup_steps=0, decay=CosineDecay())
    assert float(make_schedule(config, steps=10)(0)) == pytest.approx(2.0)


def test_without_a_limit_gradients_are_not_clipped():
    params = tree([jnp.ones((3, 2))] * len(PATHS))
    big = tree([jnp.full((3, 2), 100.0)] * len(PATHS))
    moments = {}
    for limit in (None, 1.0):
        config = OptimiserConfig(clip_norm=limit, warmup_steps=0, decay=CosineDecay())
        optimiser = make_optimiser(config, 10, DEPTH)
        _, state = optimiser.update(big, optimiser.init(params), params)
        moments[limit] = float(optax.tree.get(state, "mu")["mask_decoder"]["iou_token"][0, 0])
    assert moments[None] == pytest.approx(10.0)
    assert moments[1.0] == pytest.approx(0.1 / 30**0.5)


def test_rates_have_factors_by_path():
    factors = (("*/lin/*", 8.0), ("mask_decoder/*", 0.5), ("*/blocks_?/*", 3.0))
    params = tree([jnp.ones((3, 2))] * len(PATHS))
    gradients = tree([jnp.full((3, 2), 0.1)] * len(PATHS))
    plain, own = (
        make_optimiser(OptimiserConfig(rate_factors=rate_factors), 10, DEPTH)
        for rate_factors in ((), factors)
    )
    before, _ = plain.update(gradients, plain.init(params), params)
    after, _ = own.update(gradients, own.init(params), params)
    for expected, first, second in zip(
        (1, 3, 3, 0.5, 4), leaves_of(before), leaves_of(after), strict=True
    ):
        np.testing.assert_allclose(second, expected * first, rtol=1e-6)


def test_a_factor_for_nothing():
    optimiser = make_optimiser(OptimiserConfig(rate_factors=(("*/line/*", 2.0),)), 10, DEPTH)
    with pytest.raises(InputError, match=r"rate_factors: no parameter fits '\*/line/\*'"):
        optimiser.init(tree([jnp.ones((3, 2))] * len(PATHS)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OptimiserConfig(rate=0.0), "rate is above 0"),
        (lambda: OptimiserConfig(warmup_steps=-1), "warmup_steps is not negative"),
        (lambda: OptimiserConfig(beta2=1.0), "from 0 to below 1"),
        (lambda: OptimiserConfig(weight_decay=-0.1), "weight_decay is not negative"),
        (lambda: OptimiserConfig(layer_decay=1.5), "layer_decay is above 0 and at most 1"),
        (
            lambda: OptimiserConfig(rate_factors=(("*", 0.0),)),
            r"rate_factors are above 0, not 0.0 of '\*'",
        ),
        (lambda: OptimiserConfig(clip_norm=0.0), "clip_norm is above 0"),
        (lambda: StepDecay(milestones=(5, 3)), "must be positive and rise"),
        (lambda: StepDecay(factor=0.0), "factor is above 0"),
        (lambda: CosineDecay(last_share=2.0), "between 0 and 1"),
    ],
)
def test_impossible_numbers(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_muon_moves_hidden_kernels_along_rotations_and_the_rest_as_adam():
    config = OptimiserConfig(
        method="muon", rate=0.1, warmup_steps=0, decay=StepDecay(milestones=()), weight_decay=0.0,
        layer_decay=1.0, clip_norm=None,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    params = {
        "image_encoder": {
            "blocks_0": {"attn": {"qkv": {"kernel": jnp.ones((4, 12)), "bias": jnp.ones(12)}}},
            "patch_embed": {"kernel": jnp.ones((2, 2, 3, 6))},
        },
        "mask_decoder": {"iou_prediction_head": {"layers_2": {"kernel": jnp.ones((4, 3))}}},
    }
    gradients = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), params
    )
    optimiser = make_optimiser(config, steps=10, depth=1)
    updates, _ = optimiser.update(gradients, optimiser.init(params), params)
    encoder = updates["image_encoder"]
    for kernel in (encoder["blocks_0"]["attn"]["qkv"]["kernel"], encoder["patch_embed"]["kernel"]):
        matrix = np.asarray(kernel).reshape(-1, kernel.shape[-1])
        lengths = np.linalg.svd(matrix, compute_uv=False) / (0.1 * 0.2 * max(matrix.shape) ** 0.5)
        assert lengths.min() > 0.6
        assert lengths.max() < 1.3
    others = (
        encoder["blocks_0"]["attn"]["qkv"]["bias"],
        updates["mask_decoder"]["iou_prediction_head"]["layers_2"]["kernel"],
    )
    signs = (
        gradients["image_encoder"]["blocks_0"]["attn"]["qkv"]["bias"],
        gradients["mask_decoder"]["iou_prediction_head"]["layers_2"]["kernel"],
    )
    for update, gradient in zip(others, signs, strict=True):
        np.testing.assert_allclose(update, -0.1 * np.sign(gradient), rtol=1e-3)
