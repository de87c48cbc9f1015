from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.data.example import Batch
from sam_jax.models import (
    Compute,
    ImageEncoderConfig,
    MaskDecoderConfig,
    Model,
    PromptEncoderConfig,
    SamConfig,
    init_variables,
)
from sam_jax.training.interaction import Interaction, find_inside, simulate_session
from sam_jax.training.step import compute_gradients, draw_drop_path
from sam_jax.types import InputError, PointLabel

CONFIG = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(64, 96),
        width=16,
        depth=2,
        num_heads=2,
        window_size=3,
        global_blocks=(1,),
        out_channels=16,
    ),
    prompt_encoder=PromptEncoderConfig(width=16),
    mask_decoder=MaskDecoderConfig(
        width=16, depth=1, num_heads=2, mlp_width=16, iou_head_depth=2, iou_head_width=16
    ),
)
MODEL = Model(
    CONFIG,
    jax.tree.map(jnp.asarray, init_variables(CONFIG, seed=0)),
    Compute(prompts_at_once=8),
)


def make_batch(b=3, n=2):
    draw = np.random.default_rng(0)
    masks = np.zeros((b, n, 16, 24), bool)
    for i in range(b):
        for j in range(n):
            y, x = draw.integers(0, [8, 12])
            masks[i, j, y : y + 5, x : x + 7] = True
    return Batch(
        images=draw.integers(0, 256, (b, 64, 96, 3), dtype=np.uint8),
        fitted=np.tile(np.array([[60, 96]], np.int32), (b, 1)),
        masks=masks,
        valid=np.ones((b, n), bool),
    )


KEYS = jax.random.split(jax.random.key(5), 3)


def simulate(batch, **settings):
    """Labels and points of sessions of four iterations, on image embeddings of noise."""
    b, n = batch.valid.shape
    embeddings = np.random.default_rng(1).standard_normal((b, 4, 6, 16), np.float32)
    interaction = Interaction(iterations=4, **settings)
    _, session = jax.jit(lambda *arrays: simulate_session(*arrays, interaction))(
        MODEL, embeddings, batch.fitted, batch.masks, batch.valid, KEYS
    )
    labels, points = np.asarray(session.labels), np.asarray(session.points)
    assert labels.shape == (b, n, 5)
    added = np.isin(labels[:, :, 2:], (PointLabel.FOREGROUND, PointLabel.BACKGROUND))
    assert (added.sum(axis=2) == 3 - interaction.refine_iterations).all()
    if interaction.refine_iterations:
        assert not added[:, :, -1].any(), "the last iteration adds no point"
    columns, rows = np.moveaxis(points.astype(int) // 4, -1, 0)
    images, prompts, _ = np.indices(labels.shape)
    truth = batch.masks[images, prompts, rows, columns]
    is_point = np.isin(labels, (PointLabel.FOREGROUND, PointLabel.BACKGROUND))
    assert (truth == (labels == PointLabel.FOREGROUND))[is_point].all()
    return labels, points


def test_an_annotator_who_begins_with_a_box():
    labels, _ = simulate(make_batch(), refine_iterations=1, box_share=1.0)
    assert (labels[:, :, :2] == [PointLabel.TOP_LEFT, PointLabel.BOTTOM_RIGHT]).all()


def test_an_annotator_who_clicks_in_the_middle():
    batch = make_batch()
    labels, points = simulate(batch, refine_iterations=0, box_share=0.0, centre_share=1.0)
    assert (labels[:, :, :2] == [PointLabel.FOREGROUND, PointLabel.NOT_A_POINT]).all()
    for i, j in np.ndindex(3, 2):
        rows, columns = np.nonzero(batch.masks[i, j])  # 5 x 7 cells, whose middle is 1 x 3
        middle = 4 * np.array([columns.min() + 2, rows.min() + 2])
        assert (points[i, j, 0] >= middle).all()
        assert (points[i, j, 0] < middle + np.array([12, 4])).all()


def test_the_second_idle_iteration_is_anywhere_before_the_last():
    labels, _ = simulate(make_batch(n=20), refine_iterations=2, box_share=0.0)
    assert (labels[:, :, :2] == [PointLabel.FOREGROUND, PointLabel.NOT_A_POINT]).all()
    idle = (labels[:, :, 2:] == PointLabel.ABSENT).sum(axis=(0, 1))
    assert idle.sum() == 2 * 60
    assert idle[-1] == 60
    assert (idle[:-1] > 10).all()


@pytest.fixture(scope="module")
def gradients():
    """What to differentiate by, and gradients and metrics of a batch and of each of its images."""
    params = MODEL.variables["params"]
    trainable = {**params, "prompt_encoder": jax.tree.map(lambda _: None, params["prompt_encoder"])}
    batch, interaction = make_batch(), Interaction(iterations=2, refine_iterations=1)
    batch = batch._replace(valid=np.array([[True, True], [True, False], [False, False]]))

    @jax.jit
    def differentiate(model, trainable, batch, keys):
        return compute_gradients(model, trainable, batch, keys, interaction, drop_path=0.5)

    parts = [jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], batch) for i in range(3)]
    of_parts = [
        differentiate(MODEL, trainable, part, KEYS[i : i + 1]) for i, part in enumerate(parts)
    ]
    return trainable, *jax.device_get((differentiate(MODEL, trainable, batch, KEYS), of_parts))


def test_parts_of_a_batch_add_up(gradients):
    _, whole, parts = gradients
    together = jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *parts)
    assert float(whole[1].masks) == 3
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(whole[0]))
    for one, other in zip(jax.tree.leaves(whole[0]), jax.tree.leaves(together[0]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * largest)
    np.testing.assert_allclose(whole[1], together[1], rtol=1e-4)
    nothing = jax.tree.leaves(parts[2])
    assert all(np.abs(leaf).max() == 0 for leaf in nothing)


def test_masks_in_groups_are_learned_as_all_together():
    batch, interaction = make_batch(b=5, n=7), Interaction(iterations=3)
    valid = np.arange(35).reshape(5, 7) % 4 > 0
    embeddings = np.random.default_rng(1).normal(size=(5, 4, 6, 16)).astype(np.float32)

    def learn(at_once):
        def loss(decoder):
            params = {**MODEL.variables["params"], "mask_decoder": decoder}
            variables = {**MODEL.variables, "params": params}
            metrics, session = simulate_session(
                Model(CONFIG, variables, Compute(prompts_at_once=at_once)),
                embeddings,
                batch.fitted,
                batch.masks,
                valid,
                jax.random.split(jax.random.key(5), 5),
                interaction,
            )
            return metrics.loss, (metrics, session)

        decoder = MODEL.variables["params"]["mask_decoder"]
        step = jax.jit(jax.grad(loss, has_aux=True)).lower(decoder).compile()
        return step.memory_analysis().temp_size_in_bytes, *jax.device_get(step(decoder))

    memory, gradients, (metrics, session) = learn(35)
    assert metrics.masks == valid.sum()
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradients))
    for at_once in (3, 21):  # three masks of an image, the last alone; three images, then two
        less, in_groups, (metrics_of_groups, session_of_groups) = learn(at_once)
        assert less < 0.8 * memory
        np.testing.assert_allclose(metrics_of_groups, metrics, rtol=1e-5)
        for one, other in zip(session_of_groups, session, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)
        for one, other in zip(jax.tree.leaves(in_groups), jax.tree.leaves(gradients), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4 * largest)


def test_only_trainable_leaves_get_gradients(gradients):
    trainable, (of_leaves, _), _ = gradients
    assert jax.tree.structure(of_leaves) == jax.tree.structure(trainable)
    assert np.abs(of_leaves["mask_decoder"]["mask_tokens"]).max() > 0


def test_drop_path_keeps_the_mean():
    keys = jax.random.split(jax.random.key(0), 5000)
    branches = jax.vmap(lambda key: draw_drop_path(key, 3, 0.4))(keys)
    np.testing.assert_allclose(np.unique(branches[:, 0]), [1])
    np.testing.assert_allclose(np.unique(branches[:, 2]), [0, 1 / 0.6], rtol=1e-6)
    np.testing.assert_allclose(branches.mean(axis=0), 1, atol=0.05)


def test_inside_is_what_holds_any_of_the_photo():
    inside = np.asarray(find_inside(np.array([[5, 24], [16, 9]], np.int32), (4, 6)))
    assert inside[0].tolist() == [[True] * 6, [True] * 6, [False] * 6, [False] * 6]
    assert inside[1].tolist() == [[True] * 3 + [False] * 3] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iterations": 0}, "iterations is at least 1"),
        (
            {"iterations": 2, "refine_iterations": 2},
            "refine_iterations is 0, 1 or 2, and fewer than the 2",
        ),
        ({"box_share": 1.5}, "box_share"),
        ({"centre_share": -0.1}, "centre_share"),
        ({"box_jitter": -1.0}, "box_jitter"),
    ],
)
def test_impossible_sessions_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(Interaction(), **change)
