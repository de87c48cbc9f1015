"""Programs for the official ONNX files call ours in their own ways, which are written down here from their sources."""

import numpy as np
import pytest
from PIL import Image

from sam_jax.data.framing import PIXEL_MEAN, PIXEL_STD
from sam_jax.export.onnx_models import make_decoder, make_encoder
from sam_jax.export.options import DecoderOptions
from sam_jax.inference import SamPredictor

SIDE = 128
PHOTO = np.arange(100 * 150 * 3).reshape(100, 150, 3).astype(np.uint8)


@pytest.fixture(scope="module")
def predictor(small):
    predictor = SamPredictor(small.model)
    predictor.set_image(PHOTO)
    return predictor


@pytest.fixture(scope="module")
def single(small, open_session):
    return open_session(make_decoder(small.model, DecoderOptions(masks="single")))


def one_mask(predictor, points, labels):
    """The official choice: of three masks the best for a single click, otherwise the one for several."""
    masks, iou, _ = predictor.predict(
        np.array(points), np.array(labels), multimask_output=len(points) < 2, return_logits=True
    )
    return masks[iou.argmax()]


def test_the_official_web_demo(single, predictor):
    """Clicks scaled by one factor, a padding point, labels and size as floats, no mask; the keys in its order."""
    clicks = [(70.0, 40.0, 1)]
    scale = SIDE / max(PHOTO.shape[:2])
    coords = np.zeros((1, len(clicks) + 1, 2), np.float32)
    labels = np.full((1, len(clicks) + 1), -1, np.float32)
    for index, (x, y, kind) in enumerate(clicks):
        coords[0, index], labels[0, index] = (x * scale, y * scale), kind
    feeds = {
        "image_embeddings": predictor.get_image_embedding(),
        "point_coords": coords,
        "point_labels": labels,
        "orig_im_size": np.array(PHOTO.shape[:2], np.float32),
        "mask_input": np.zeros((1, 1, SIDE // 4, SIDE // 4), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
    }
    results = single.run(None, feeds)
    mask = dict(zip((x.name for x in single.get_outputs()), results, strict=True))["masks"]
    expected = one_mask(predictor, [clicks[0][:2]], [1])
    assert np.mean((mask[0, 0] > 0) == (expected > 0)) > 0.999


def test_labelme(single, small, predictor, open_session):
    """Its own resizing and padding, the first output of the encoder by `x`, and -1 for "there is no mask"."""
    encoder = open_session(make_encoder(small.model))
    height, width = PHOTO.shape[:2]
    scale = SIDE / width
    new_height, new_width = round(height * scale), SIDE
    resized = Image.fromarray(PHOTO).resize((new_width, new_height), Image.Resampling.BILINEAR)
    x = (np.asarray(resized, np.float32) - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD)
    x = np.pad(x, ((0, SIDE - x.shape[0]), (0, SIDE - x.shape[1]), (0, 0)))
    embedding = encoder.run(output_names=None, input_feed={"x": x.transpose(2, 0, 1)[None]})[0]
    points, labels = [[70, 40], [20, 80]], [1, 0]
    coords = np.concatenate([points, [[0.0, 0.0]]])[None] * (new_width / width, new_height / height)
    masks, _, _ = single.run(
        None,
        {
            "image_embeddings": embedding,
            "point_coords": coords.astype(np.float32),
            "point_labels": np.array([[*labels, -1]], np.float32),
            "mask_input": np.zeros((1, 1, SIDE // 4, SIDE // 4), np.float32),
            "has_mask_input": np.array([-1], np.float32),
            "orig_im_size": np.array(PHOTO.shape[:2], np.float32),
        },
    )
    expected = one_mask(predictor, points, labels)
    assert masks.shape == (1, 1, *PHOTO.shape[:2])
    assert np.mean((masks[0, 0] > 0) == (expected > 0)) > 0.999


def test_anylabeling(small, predictor, open_session):
    """An encoder that takes H×W×3, whose input is found by its rank; masks enlarged by the caller."""
    encoder = open_session(make_encoder(small.model, raw=True))
    [given] = encoder.get_inputs()
    assert len(given.shape) == 3
    resized = Image.fromarray(PHOTO).resize((SIDE, 85), Image.Resampling.BILINEAR)
    [embedding] = encoder.run(None, {given.name: np.asarray(resized, np.float32)})
    expected = predictor.get_image_embedding()
    np.testing.assert_allclose(embedding, expected, rtol=0, atol=5e-3 * np.abs(expected).max())


def test_cvat(small, predictor, open_session):
    """Outputs by name, in no particular order; the mask's bytes are laid out by the box."""
    options = DecoderOptions(masks="single", outputs="cvat")
    decoder = open_session(make_decoder(small.model, options))
    scale = SIDE / max(PHOTO.shape[:2])
    names = ["xtl", "ytl", "xbr", "ybr", "masks", "low_res_masks"]
    xtl, ytl, xbr, ybr, mask, low = decoder.run(
        names,
        {
            "image_embeddings": predictor.get_image_embedding(),
            "point_coords": np.array([[[70 * scale, 40 * scale], [0, 0]]], np.float32),
            "point_labels": np.array([[1, -1]], np.float32),
            "orig_im_size": np.array(PHOTO.shape[:2], np.float32),
            "mask_input": np.zeros((1, 1, SIDE // 4, SIDE // 4), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
        },
    )
    left, top, right, bottom = (int(edge[0]) for edge in (xtl, ytl, xbr, ybr))
    whole = np.zeros(PHOTO.shape[:2], bool)
    shape = (bottom - top + 1, right - left + 1)
    whole[top : bottom + 1, left : right + 1] = mask.ravel().reshape(shape) > 0
    expected = one_mask(predictor, [[70, 40]], [1])
    assert low.shape == (1, 1, SIDE // 4, SIDE // 4)
    assert np.mean(whole == (expected > 0)) > 0.999
