"""A CLIP of drawings, trained through the same loop as all training."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

from sam_jax.checkpoints import load_clip
from sam_jax.configs import tiny_words
from sam_jax.data.phrases import WORDS
from sam_jax.distributed import device_mesh, place_batch
from sam_jax.losses import sigmoid_pairs
from sam_jax.models.clip import (
    CLIP_TINY,
    ClipModel,
    compare,
    embed_images,
    embed_text,
    learn_words,
)
from sam_jax.training.config import (
    DataConfig,
    Drawn,
    Execution,
    Reporting,
    Synthetic,
)
from sam_jax.training.feed import make_loader, open_sources
from sam_jax.training.loop import Ending, find_result, train
from sam_jax.training.matching import make_tokens
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.training.phrase_config import PhraseConfig
from sam_jax.training.preparation import first_state, prepare
from sam_jax.types import InputError

MINIATURE = dataclasses.replace(
    CLIP_TINY,
    text=dataclasses.replace(CLIP_TINY.text, width=16, depth=1, mlp_width=32),
    image=dataclasses.replace(
        CLIP_TINY.image, width=16, depth=1, num_heads=2, mlp_width=32, image_size=(16, 16)
    ),
    width=8,
)
CONFIG = PhraseConfig(
    model=MINIATURE,
    data=DataConfig(sources=(Drawn(size=(96, 128), things=4),), batch_size=8, masks_per_image=4),
    steps=6,
    phrases_per_image=5,
    optimiser=OptimiserConfig(rate=1e-2, warmup_steps=1, decay=CosineDecay(), layer_decay=1.0),
    reporting=Reporting(metrics_every=1, pictures_every=6, states_every=3),
)


@pytest.fixture(scope="module")
def batch():
    loader = make_loader(CONFIG, open_sources(CONFIG))
    batch = next(loader)
    loader.close()
    return batch


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert train(CONFIG, folder) is Ending.FINISHED
    return folder


def test_tokens_are_the_tokenisers(batch):
    tokeniser = learn_words(WORDS, 16)
    texts = [" ".join(WORDS[k] for k in row if k >= 0) for row in batch.words.reshape(-1, 12)]
    table = tokeniser(list(WORDS))[:, 1]
    ends = (tokeniser.words["<|startoftext|>"], tokeniser.words["<|endoftext|>"])
    tokens = np.asarray(make_tokens(batch.words.reshape(-1, 12), table, ends))
    np.testing.assert_array_equal(tokens, tokeniser(texts)[:, :14])


@pytest.mark.slow
def test_a_run_leaves_a_clip(finished):
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines]
    assert losses[-1] < losses[0]
    assert lines[0]["crops"] == 32
    clip = load_clip(find_result(CONFIG, finished))
    assert clip.config == MINIATURE
    assert clip.variables["params"]["logit_bias"] != -10
    features = embed_text(clip, ["a red circle"])
    np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, rtol=1e-5)
    with Image.open(finished / "pictures" / "step_0000006.png") as picture:
        assert picture.size == (4 * (16 + 8 + 4), 4 * (16 + 8 + 4))
    again = dataclasses.replace(CONFIG, start_from=str(finished / "clip"))
    state = first_state(again, prepare(again))
    jax.tree.map(np.testing.assert_array_equal, state.params, clip.variables["params"])


@pytest.mark.slow
def test_the_loss_is_of_the_pairs_of_each_drawing_on_any_number_of_devices(
    batch, relative_difference
):
    results = []
    for devices, settings in ((1, {}), (8, {"parameters": "sharded"})):
        mesh = device_mesh(jax.devices()[:devices])
        config = dataclasses.replace(CONFIG, execution=Execution(**settings))
        plan = prepare(config, mesh)
        state = first_state(config, plan)
        before = jax.device_get(state.params)
        state, metrics, _ = plan.train_step(state, place_batch(batch, mesh))
        moves = jax.tree.map(np.subtract, jax.device_get(state.params), before)
        results.append((jax.device_get(metrics), moves))
    (metrics, moves), (metrics_8, moves_8) = results
    np.testing.assert_allclose(metrics_8, metrics, rtol=1e-4)
    assert relative_difference(moves_8, moves) < 1e-3
    tokeniser = learn_words(WORDS, 16)
    clip = ClipModel(MINIATURE, {"params": before}, tokeniser=tokeniser)
    losses = found = 0
    for drawing in range(8):
        words = batch.words[drawing]
        phrases = embed_text(clip, [" ".join(WORDS[k] for k in row if k >= 0) for row in words])
        images = embed_images(clip, batch.images[drawing], batch.patches[drawing])
        logits = np.asarray(compare(clip, images, phrases))[batch.valid[drawing]]
        fits = batch.fits[drawing][batch.valid[drawing]]
        losses += np.asarray(sigmoid_pairs(logits, fits)).sum()
        found += (fits & (logits > 0)).sum()
    assert metrics.crops == batch.valid.sum()
    np.testing.assert_allclose(metrics.loss, losses / batch.valid.sum(), rtol=1e-4)
    np.testing.assert_allclose(metrics.found, found / batch.valid.sum(), rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"data": DataConfig(sources=(Synthetic(),), batch_size=8, masks_per_image=4)},
            "every source is a Drawn",
        ),
        ({"data": dataclasses.replace(CONFIG.data, masks_per_image=0)}, "learns from crops"),
        ({"optimiser": OptimiserConfig(warmup_steps=1, decay=CosineDecay())}, "set it to 1"),
        ({"model": dataclasses.replace(MINIATURE, has_logit_bias=False)}, "learns a bias"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG, **settings)


def test_another_vocabulary_is_refused():
    text = dataclasses.replace(MINIATURE.text, vocabulary=700)
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(MINIATURE, text=text))
    with pytest.raises(InputError, match="are 620 tokens"):
        prepare(config)


def test_the_recipe_learns_no_held_back_words():
    config = tiny_words.config
    assert config.model == CLIP_TINY
    assert not any(source.held_back for source in open_sources(config))
