"""Embeddings that are computed once."""

import dataclasses
import os

import jax
import numpy as np
import pytest
from PIL import Image

from sam_jax.data.framing import normalise
from sam_jax.data.loader import Ingredient, Loader, LoaderConfig
from sam_jax.data.sources import open_source
from sam_jax.models import (
    Compute,
    FineConfig,
    Model,
    encode_image,
    init_variables,
    make_sam,
)
from sam_jax.training import embeddings
from sam_jax.training.embeddings import Embeddings
from sam_jax.types import InputError, RunError

from .conftest import MINIATURE

SAM = make_sam(MINIATURE, Compute())


@jax.jit
def encode(model, images, fitted):
    return encode_image(model, normalise(images, fitted))


@pytest.fixture(scope="module")
def variables():
    return jax.device_put(init_variables(MINIATURE, 0))


@pytest.fixture
def encoder(variables):
    return jax.device_get(variables["params"]["image_encoder"])


@pytest.fixture
def store(tmp_path, encoder):
    return Embeddings(tmp_path / "embeddings", SAM, encoder)


@pytest.fixture
def no_encoding(monkeypatch):
    """From when it is called on, encoding fails."""

    def fail(*_):
        raise AssertionError("an image was encoded again")

    return lambda: monkeypatch.setattr(embeddings, "_encode", fail)


@pytest.fixture
def photos(tmp_path):
    """A source of five photos of two sizes, one of them without masks."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for i in range(5):
        size = (40, 60) if i % 2 else (50, 44)
        labels = np.zeros(size, np.uint8)
        labels[5:25, 5:30] = i < 4
        image = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        image.save(tmp_path / "photos" / "images" / f"{i}.png")
        Image.fromarray(labels).save(tmp_path / "photos" / "labels" / f"{i}.png")
    return open_source(tmp_path / "photos")


def files(store):
    return {name: (store.folder / name).stat().st_ino for name in os.listdir(store.folder)}


def test_they_are_what_the_encoder_says(batch, store, variables):
    expected = encode(Model(MINIATURE, variables), batch.images, batch.fitted)
    embedded = store.embed(batch)
    assert embedded.embeddings.shape == (16, 2, 3, 16)
    np.testing.assert_allclose(embedded.embeddings, expected, atol=1e-5)
    for name in ("fitted", "masks", "valid"):
        assert getattr(embedded, name) is getattr(batch, name)
    assert len(files(store)) == 16
    assert {path.stat().st_size for path in store.folder.iterdir()} == {store.bytes_per_image}


def test_an_embedding_of_several_arrays(batch, tmp_path, no_encoding):
    config = dataclasses.replace(MINIATURE, fine=FineConfig(width=8, cost_kinds=2))
    encoder = jax.device_get(init_variables(config, 0))["params"]["image_encoder"]
    store = Embeddings(tmp_path, make_sam(config), encoder)
    first = store.embed(batch).embeddings
    shapes = jax.tree.map(lambda leaf: leaf.shape[1:], first)
    assert shapes.image == (2, 3, 16)
    assert shapes.details.quarter == (2, 3, 2, 2, 2, 2, 2)
    assert shapes.costs == (8, 12, 4)
    assert store.bytes_per_image == 4 * (2 * 3 * 16 + 2 * 3 * 4 * 4 + 2 * 3 * 16 * 2 + 8 * 12 * 4)
    model = Model(config, {"params": {"image_encoder": jax.device_put(encoder)}})
    expected = encode(model, batch.images[:1], batch.fitted[:1])
    jax.tree.map(
        lambda found, one: np.testing.assert_allclose(found[0], one[0], rtol=1e-4, atol=1e-5),
        first,
        expected,
    )
    no_encoding()
    jax.tree.map(np.testing.assert_array_equal, store.embed(batch).embeddings, first)


def test_nothing_is_computed_twice(batch, store, encoder, tmp_path, no_encoding):
    first, before = store.embed(batch), files(store)
    no_encoding()
    for again in (store, Embeddings(tmp_path / "embeddings", SAM, encoder)):
        np.testing.assert_array_equal(again.embed(batch).embeddings, first.embeddings)
    assert files(store) == before


def test_other_weights_precision_or_sizes_have_their_own(store, encoder, tmp_path):
    other = jax.tree.map(np.copy, encoder)
    other["neck"]["norm2"]["bias"][3] += 1e-6
    taller = dataclasses.replace(MINIATURE.image_encoder, image_size=(48, 32))
    of_taller = {**encoder, "pos_embed": encoder["pos_embed"].swapaxes(0, 1)}
    folders = {
        Embeddings(tmp_path / "embeddings", sam, weights).folder
        for sam, weights in (
            (SAM, encoder),
            (SAM, other),
            (make_sam(MINIATURE, Compute(dtype="bfloat16")), encoder),
            (make_sam(dataclasses.replace(MINIATURE, image_encoder=taller), Compute()), of_taller),
        )
    }
    assert len(folders) == 4
    assert store.folder in folders


def test_bfloat16_comes_back_as_it_was(batch, encoder, tmp_path, no_encoding):
    store = Embeddings(tmp_path, make_sam(MINIATURE, Compute(dtype="bfloat16")), encoder)
    first = store.embed(batch).embeddings
    no_encoding()
    again = store.embed(batch).embeddings
    assert first.dtype == again.dtype == jax.numpy.bfloat16
    np.testing.assert_array_equal(again, first)
    assert store.bytes_per_image == 2 * 3 * 16 * 2


def test_a_file_that_was_cut_off_is_made_again(batch, store):
    first = store.embed(batch).embeddings
    path = next(store.folder.iterdir())
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    np.testing.assert_array_equal(store.embed(batch).embeddings, first)
    assert path.read_bytes() == whole


def test_a_source_is_encoded_as_the_loader_gives_it(photos, store, no_encoding):
    assert sum(1 for _ in store.embed_source(photos, range(len(photos)))) == 5
    assert len(files(store)) == 4  # the fifth has no masks
    no_encoding()
    frame = MINIATURE.image_encoder.image_size
    loader = Loader([Ingredient(photos)], LoaderConfig(frame=frame, batch_size=8, num_masks=2))
    for _ in range(3):
        store.embed(next(loader))
    loader.close()


def test_a_full_disk_is_one_line(batch, store, full_disk):
    store.embed(batch)  # compiled, which writes too
    for path in store.folder.iterdir():
        path.unlink()
    message = r"cannot write .*: File too large; .* make room for them"
    with full_disk(), pytest.raises(RunError, match=message):
        store.embed(batch)
    assert os.listdir(store.folder) == []


def test_a_file_in_the_way(encoder, tmp_path):
    (tmp_path / "embeddings").touch()
    with pytest.raises(InputError, match=r"cannot write .*: Not a directory"):
        Embeddings(tmp_path / "embeddings", SAM, encoder)
