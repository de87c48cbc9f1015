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
from sam_jax.training.feed import make_loader, open_sources
from sam_jax.training.interaction import simulate_session
from sam_jax.training.loop import train
from sam_jax.training.preparation import prepare
from sam_jax.training.text_prompting import CropFeatures, TextPrompting, add_text, draw_growths
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


@pytest.fixture(scope="module")
def play(batch):
    """Simulates sessions that begin with a point where they don't begin with text."""
    model = Model(WITH_TEXT, jax.tree.map(jnp.asarray, init_variables(WITH_TEXT)))
    embeddings = np.random.default_rng(1).standard_normal((16, 2, 3, 16)).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), 16)
    simulate = jax.jit(simulate_session, static_argnames="interaction")
    given = (model, embeddings, batch.fitted, batch.masks, batch.valid, keys)

    def play(text, **shares):
        interaction = replace(CONFIG.interaction, box_share=0.0, **shares)
        return simulate(*given, interaction=interaction, text=text)[1]

    return play


@pytest.fixture(scope="module")
def without_text(play):
    return play(None)


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_text_is_the_first_prompt_and_stays(play, without_text, share):
    text = np.random.default_rng(0).standard_normal((16, 2, 3, 3)).astype(np.float32)
    text[3, 1] = 0
    session = play(text, text_share=share, text_alone_share=0.5)
    alone = [PointLabel.ABSENT, PointLabel.NOT_A_POINT]
    point = [PointLabel.FOREGROUND, PointLabel.NOT_A_POINT]
    has_text = np.full((16, 2), share == 1)
    has_text[3, 1] = False
    is_alone = np.asarray(session.labels[..., 0] == PointLabel.ABSENT)
    assert 8 < is_alone.sum() < 24 if share else not is_alone.any()
    assert not is_alone[~has_text].any()
    np.testing.assert_array_equal(session.labels, np.where(is_alone[..., None], alone, point))
    np.testing.assert_array_equal(without_text.labels, np.broadcast_to(point, (16, 2, 2)))
    np.testing.assert_array_equal(session.points, without_text.points)
    change = np.abs(np.asarray(session.first) - without_text.first).max(axis=(2, 3))
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


def take_batch(config, embeddings):
    sources = add_text(open_sources(config), config.text, 3, embeddings)
    loader = make_loader(config, sources)
    batch = next(loader)
    loader.close()
    return batch


def test_kept_or_not_batches_are_the_same_and_only_the_projection_moves(tmp_path, config, capsys):
    train(config, tmp_path / "kept")
    assert "embedding the masks of 16 images by CLIP" in "".join(capsys.readouterr())
    embeddings = tmp_path / "kept" / "embeddings"
    assert [path.name[:5] for path in embeddings.iterdir()] == ["text-"]
    unkept = replace(config, text=replace(config.text, keep=False))
    train(unkept, tmp_path / "unkept", max_seconds=0.0)
    assert not (tmp_path / "unkept" / "embeddings").exists()
    batches = take_batch(config, embeddings), take_batch(unkept, tmp_path / "none")
    assert np.abs(batches[0].text).max() > 0
    jax.tree.map(np.testing.assert_array_equal, *batches)
    trained = flatten(load_checkpoint(tmp_path / "kept" / "weights.safetensors")[1])
    first = flatten(load_checkpoint(config.start_from)[1])
    fresh = flatten(init_variables(WITH_TEXT, config.seed))
    for path, leaf in trained.items():
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
