"""The exported encoder, which the official exporter lacks, in the two forms in use."""

import numpy as np
import pytest

from sam_jax.data.framing import frame_image, normalise
from sam_jax.export.onnx_models import make_decoder, make_encoder
from sam_jax.inference import SamPredictor, load
from sam_jax.models import TINY


@pytest.fixture
def photo(draw) -> np.ndarray:
    coarse = draw.integers(0, 256, (9, 13, 3)).astype(np.uint8)
    return np.repeat(np.repeat(coarse, 20, axis=0), 17, axis=1)[:171]


def embed(model, photo):
    predictor = SamPredictor(model)
    predictor.set_image(photo)
    return np.asarray(predictor.features)


def test_takes_a_normalised_image_with_channels_first(small, open_session, photo):
    session = open_session(make_encoder(small.model))
    assert [x.name for x in session.get_inputs()] == ["x"]
    assert [x.name for x in session.get_outputs()] == ["image_embeddings"]
    framed, framing = frame_image(photo, (128, 128))
    pixels = normalise(framed[None], np.array([framing.fitted]))
    [answer] = session.run(None, {"x": np.asarray(pixels).transpose(0, 3, 1, 2)})
    expected = embed(small.model, photo)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("part", [np.s_[:], np.s_[:, :60], np.s_[:50], np.s_[:3, :100]])
def test_takes_photos_of_any_size(raw_encoder, small, photo, part):
    photo = photo[part]
    assert [x.shape for x in raw_encoder.get_inputs()] == [["height", "width", 3]]
    [answer] = raw_encoder.run(None, {"input_image": photo.astype(np.float32)})
    expected = embed(small.model, photo)
    # Pillow rounds after each axis, so that single numbers of 0 to 255 may differ by 1.
    np.testing.assert_allclose(answer, expected, rtol=0, atol=5e-3 * np.abs(expected).max())


@pytest.fixture(scope="module")
def raw_encoder(small, open_session):
    return open_session(make_encoder(small.model, raw=True))


@pytest.mark.slow
def test_the_small_models_additions_pass_through_the_embedding(open_session, photo):
    model = load(image_size=128)
    encoder = open_session(make_encoder(model, raw=True))
    decoder = open_session(make_decoder(model))
    [embedding] = encoder.run(None, {"input_image": photo.astype(np.float32)})
    assert embedding.shape[1] > TINY.image_encoder.out_channels
    predictor = SamPredictor(model)
    predictor.set_image(photo)
    _framed, framing = frame_image(photo, (128, 128))
    # On the object and beside it, as distances from both kinds of clicks are among the additions.
    points, labels = np.array([[100.0, 90.0], [30.0, 20.0]]), [1, 0]
    expected = predictor.predict(points, np.array(labels), return_logits=True)
    feed = {
        "image_embeddings": embedding,
        "point_coords": np.concatenate([framing.to_frame(points), [[0, 0]]])[None],
        "point_labels": [[*labels, -1]],
        "mask_input": np.zeros((1, 1, 32, 32)),
        "has_mask_input": [0],
        "orig_im_size": photo.shape[:2],
    }
    answers = decoder.run(None, {k: np.asarray(v, np.float32) for k, v in feed.items()})
    for answer, other in zip(answers, expected, strict=True):
        assert np.abs(answer[0, 1:] - other).max() < 5e-3 * np.abs(other).max()
    assert np.mean((answers[0][0, 1:] > 0) == (expected[0] > 0)) > 0.999
