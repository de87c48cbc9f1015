"""Training with CLIP's embeddings of masks: what is cropped, what is kept, what a step does with it."""

import pickle
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.checkpoints import load_checkpoint, save_checkpoint, save_clip
from sam_jax.checkpoints.conversion import flatten
from sam_jax.data.augmentation import Augmentation, place_whole
from sam_jax.data.example import Example, RecordError
from sam_jax.data.object_crops import crop_object
from sam_jax.data.pixel_runs import find_runs
from sam_jax.data.transforms import frame_example, render_mask
from sam_jax.models import Model, init_variables
from sam_jax.models.clip import embed_images
from sam_jax.training.config import DataConfig, Reporting, Synthetic, TrainConfig
from sam_jax.training.interaction import simulate_session
from sam_jax.training.loop import train
from sam_jax.training.preparation import prepare
from sam_jax.training.text_prompting import CropFeatures, TextPrompting, draw_growths
from sam_jax.types import InputError, PointLabel
from tests.clip_models import make_colour_clip
from tests.training.conftest import CONFIG, MINIATURE

WITH_TEXT = replace(MINIATURE, prompt_encoder=replace(MINIATURE.prompt_encoder, text_width=3))
SETTINGS = TextPrompting(clip="", least_area=50, variants=4)


@pytest.fixture(scope="module")
def clip():
    return make_colour_clip()


@pytest.fixture(scope="module")
def example():
    """A picture of noise with a small mask between two large ones."""
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 40, 60), bool)
    masks[0, 5:15, 30:50] = True
    masks[1, 20:25, 20:30] = True
    masks[2, 10:38, 2:14] = True
    return Example("noise", rng.integers(0, 256, (40, 60, 3), np.uint8), masks)


def test_embeddings_are_those_of_grown_crops_half_of_them_without_background(
    tmp_path, clip, example
):
    found = CropFeatures(clip, SETTINGS, tmp_path).of_example(example)
    assert found.shape == (3, 4, 3)
    assert not found[1].any()  # of 50 pixels, and not above
    for index in (0, 2):
        growths = draw_growths(find_runs(example.masks[index]), SETTINGS)
        assert [int(4 * (growth - 1)) for growth in sorted(growths)] == [0, 1, 2, 3]
        crops = [
            crop_object(
                example.image,
                example.masks[index],
                (32, 32),
                4,
                growth=growth,
                zero_background=zero,
            )
            for growth, zero in zip(growths, (False, True, False, True), strict=True)
        ]
        expected = embed_images(
            clip,
            np.stack([crop.pixels for crop in crops]),
            np.stack([crop.patches for crop in crops]),
        )
        np.testing.assert_allclose(found[index], expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found[[0, 2]], axis=-1), 1, atol=1e-5)
    others = draw_growths(find_runs(example.masks[2]), SETTINGS)
    assert others != draw_growths(find_runs(example.masks[0]), SETTINGS)


def test_what_is_kept_is_what_is_computed(tmp_path, clip, example):
    features = CropFeatures(clip, SETTINGS, tmp_path)
    in_a_worker = pickle.loads(pickle.dumps(features))
    with pytest.raises(RecordError, match="noise: its CLIP embeddings are not there"):
        in_a_worker.of_example(example)
    first = features.of_example(example)
    np.testing.assert_array_equal(in_a_worker.of_example(example), first)
    assert features.folder is not None
    assert [path.stat().st_size for path in features.folder.iterdir()] == [2 * 4 * 3 * 4]
    unkept = CropFeatures(clip, replace(SETTINGS, keep=False), tmp_path / "none")
    np.testing.assert_array_equal(unkept.of_example(example), first)
    assert not (tmp_path / "none").exists()
    assert CropFeatures(clip, replace(SETTINGS, variants=2), tmp_path).folder != features.folder
    brighter = example._replace(image=example.image // 2)
    assert not np.array_equal(features.of_example(brighter), first)


def test_a_framed_example_has_the_embeddings_of_its_masks(example):
    text = np.arange(3 * 2 * 5, dtype=np.float32).reshape(3, 2, 5)
    framed = frame_example(
        example._replace(text=text), (32, 48), 4, Augmentation(), np.random.default_rng(1)
    )
    placement = place_whole((40, 60), (32, 48))
    truths = [render_mask(find_runs(mask), placement) for mask in example.masks]
    assert framed.valid.tolist() == [True, True, True, False]
    assert framed.text is not None
    for mask, of_mask in zip(framed.masks[:3], framed.text[:3], strict=True):
        (index,) = [i for i, truth in enumerate(truths) if np.array_equal(truth, mask)]
        np.testing.assert_array_equal(of_mask, text[index])
    assert not framed.text[3].any()
    plain = frame_example(example, (32, 48), 4, Augmentation(), np.random.default_rng(1))
    assert plain.text is None
    np.testing.assert_array_equal(plain.masks, framed.masks)


@pytest.mark.parametrize(("share", "alone_share"), [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_text_is_the_first_prompt_and_stays(batch, share, alone_share):
    interaction = replace(
        CONFIG.interaction, text_share=share, text_alone_share=alone_share, box_share=0.0
    )
    variables = jax.tree.map(jnp.asarray, init_variables(WITH_TEXT))
    model = Model(WITH_TEXT, variables)
    text = np.random.default_rng(0).standard_normal((16, 2, 3, 3)).astype(np.float32)
    text[3, 1] = 0
    embeddings = np.random.default_rng(1).standard_normal((16, 2, 3, 16)).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), 16)
    simulate = jax.jit(simulate_session, static_argnames="interaction")
    given = (model, embeddings, batch.fitted, batch.masks, batch.valid, keys)
    _, session = simulate(*given, interaction=interaction, text=text)
    _, without = simulate(*given, interaction=interaction)
    alone = [PointLabel.ABSENT, PointLabel.NOT_A_POINT]
    point = [PointLabel.FOREGROUND, PointLabel.NOT_A_POINT]
    has_text = np.full((16, 2), share == 1)
    has_text[3, 1] = False
    expected = np.where((has_text & (alone_share == 1))[..., None], alone, point)
    np.testing.assert_array_equal(session.labels, expected)
    np.testing.assert_array_equal(without.labels, np.broadcast_to(point, (16, 2, 2)))
    np.testing.assert_array_equal(session.points, without.points)
    change = np.abs(np.asarray(session.first) - without.first).max(axis=(2, 3))
    assert (change[has_text] > 1e-5).all()
    assert (change[~has_text] < 1e-5).all()


@pytest.fixture(scope="module")
def config(tmp_path_factory, clip):
    folder = tmp_path_factory.mktemp("text")
    save_clip(folder / "clip", clip)
    save_checkpoint(folder / "plain.safetensors", MINIATURE, init_variables(MINIATURE, seed=5))
    return TrainConfig(
        model=WITH_TEXT,
        data=DataConfig(
            sources=(Synthetic(seed=1, size=(64, 96), plain=1.0, repeat=16),),
            batch_size=16,
            masks_per_image=2,
        ),
        steps=2,
        optimiser=replace(CONFIG.optimiser, warmup_steps=0),
        interaction=CONFIG.interaction,
        start_from=str(folder / "plain.safetensors"),
        reporting=Reporting(pictures_every=0),
        text=TextPrompting(clip=str(folder / "clip"), least_area=50, only_projection=True),
    )


def test_kept_or_not_steps_are_the_same_and_only_the_projection_moves(tmp_path, config, capsys):
    train(config, tmp_path / "kept")
    assert "embedding the masks of 16 images by CLIP" in "".join(capsys.readouterr())
    unkept = replace(config, text=replace(config.text, keep=False))
    train(unkept, tmp_path / "unkept")
    names = [path.name for path in (tmp_path / "kept" / "embeddings").iterdir()]
    assert [name[:5] for name in names] == ["text-"]
    assert not (tmp_path / "unkept" / "embeddings").exists()
    kept, again, first = (
        flatten(load_checkpoint(path)[1])
        for path in (
            tmp_path / "kept" / "weights.safetensors",
            tmp_path / "unkept" / "weights.safetensors",
            config.start_from,
        )
    )
    fresh = flatten(init_variables(WITH_TEXT, config.seed))
    for path, leaf in kept.items():
        np.testing.assert_array_equal(leaf, again[path])
        if "text_projection" in path:
            assert not np.array_equal(leaf, fresh[path])
        else:
            np.testing.assert_array_equal(leaf, first[path])


def test_gradients_reach_the_projection(config, batch):
    preparation = prepare(config)
    frozen = flatten(preparation.frozen)
    assert [path for path, is_frozen in frozen.items() if not is_frozen] == [
        "prompt_encoder/text_projection/bias",
        "prompt_encoder/text_projection/kernel",
    ]
    every = replace(config, text=replace(config.text, only_projection=False))
    assert not any(flatten(prepare(every).frozen).values())


def test_bad_settings(config, tmp_path):
    with pytest.raises(InputError, match=r"set model.prompt_encoder.text_width"):
        replace(config, model=MINIATURE)
    other = replace(WITH_TEXT, prompt_encoder=replace(WITH_TEXT.prompt_encoder, text_width=7))
    with pytest.raises(InputError, match="have a width of 3, but the model takes 7"):
        train(replace(config, model=other), tmp_path)
    with pytest.raises(InputError, match="variants"):
        TextPrompting(clip="", variants=0)
