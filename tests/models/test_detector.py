import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.models import (
    DenseBoxes,
    Detector,
    DetectorConfig,
    init_detector,
    pick_peaks,
    predict_boxes,
)
from sam_jax.models.detector import DetectorHead
from sam_jax.types import InputError

CONFIG = DetectorConfig(embedding_width=6, width=4, depth=1, enlargements=1)


predict, pick = jax.jit(predict_boxes), jax.jit(pick_peaks, static_argnums=2)


@pytest.fixture(scope="module")
def detector():
    return Detector(CONFIG, init_detector(CONFIG, seed=3))


def test_cells_give_boxes_around_their_middles(detector):
    features = np.random.default_rng(0).standard_normal((2, 3, 5, 6), np.float32)
    dense = predict(detector, features)
    assert dense.logits.shape == (2, 6, 10)
    assert dense.boxes.shape == (2, 6, 10, 4)
    logits, raw = jax.jit(DetectorHead(CONFIG).apply)(detector.variables, features)
    np.testing.assert_allclose(dense.logits, logits, atol=1e-5)
    distances = 8 * np.exp(np.asarray(raw))
    row, column = 4, 7
    left, up, right, down = distances[1, row, column]
    x, y = 8 * column + 4, 8 * row + 4
    expected = [x - left, y - up, x + right, y + down]
    np.testing.assert_allclose(dense.boxes[1, row, column], expected, rtol=1e-5)
    assert (dense.boxes[..., 2:] > dense.boxes[..., :2]).all()


def test_before_training_hardly_any_cell_has_an_object(detector):
    dense = predict(detector, np.zeros((2, 3, 5, 6), np.float32))
    np.testing.assert_allclose(jax.nn.sigmoid(dense.logits), 0.01, rtol=1e-4)


@pytest.mark.parametrize(("enlargements", "cell"), [(0, 16), (1, 8), (2, 4)])
def test_enlargements_make_cells_smaller(enlargements, cell):
    config = DetectorConfig(embedding_width=6, width=4, depth=1, enlargements=enlargements)
    assert config.cell == cell
    detector = Detector(config, init_detector(config))
    dense = jax.eval_shape(predict_boxes, detector, jnp.zeros((1, 2, 3, 6)))
    assert dense.logits.shape == (1, 2 * 16 // cell, 3 * 16 // cell)


def test_an_enlarged_map_keeps_places():
    """What changes in one place of the embedding changes only what is near it."""
    config = DetectorConfig(embedding_width=6, width=4, depth=1, enlargements=2)
    detector = Detector(config, init_detector(config))
    features = np.zeros((1, 8, 11, 6), np.float32)
    touched = features.copy()
    touched[0, 2, 7] = 5
    apart = predict(detector, touched).logits != predict(detector, features).logits
    rows, columns = (np.flatnonzero(apart[0].any(axis=axis)) for axis in (1, 0))
    # One place around in the coarse map, then one cell around in each finer one.
    for places, index in ((rows, 2), (columns, 7)):
        assert 4 * (index - 1) - 3 <= places.min() <= 4 * index
        assert 4 * index + 3 <= places.max() <= 4 * (index + 1) + 6


def test_the_wrong_models_embeddings_are_refused(detector):
    with pytest.raises(InputError, match="width 6, not 7: train one for this model"):
        predict_boxes(detector, np.zeros((1, 2, 3, 7), np.float32))


def test_a_number_of_enlargements_that_no_grid_has_is_refused():
    with pytest.raises(InputError, match="enlargements is 0, 1 or 2, not 3"):
        DetectorConfig(enlargements=3)


def make_dense(scores, half=(5.0, 3.0)):
    """Cells of 8 pixels, with boxes of one size around their middles."""
    logits = np.log(scores) - np.log1p(-scores)
    rows, columns = scores.shape[1:]
    middle = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1) * 8 + 4.0
    boxes = np.concatenate([middle - half, middle + half], axis=-1)
    return DenseBoxes(
        jnp.asarray(logits, jnp.float32),
        jnp.asarray(np.broadcast_to(boxes, (len(scores), *boxes.shape)), jnp.float32),
    )


def test_peaks_are_the_highest_of_their_neighbours():
    scores = np.full((2, 4, 6), 0.1)
    scores[0, 1, 1], scores[0, 1, 2], scores[0, 2, 4], scores[1, 0, 5] = 0.8, 0.7, 0.6, 0.9
    fitted = np.array([[32, 48], [32, 48]], np.int32)
    boxes, found = pick(make_dense(scores), fitted, 3)
    assert boxes.shape == (2, 3, 4)
    np.testing.assert_allclose(found[0, :2], [0.8, 0.6], rtol=1e-5)
    np.testing.assert_allclose(boxes[0, 0], [12 - 5, 12 - 3, 12 + 5, 12 + 3], rtol=1e-6)
    np.testing.assert_allclose(boxes[0, 1], [36 - 5, 20 - 3, 36 + 5, 20 + 3], rtol=1e-6)
    np.testing.assert_allclose(found[1, 0], 0.9, rtol=1e-5)
    # Cut to the photo: the last column's box would end at 49.
    np.testing.assert_allclose(boxes[1, 0], [39, 1, 48, 7], rtol=1e-6)


def test_peaks_in_the_padding_dont_count():
    scores = np.full((1, 4, 6), 0.1)
    scores[0, 1, 1], scores[0, 3, 1], scores[0, 1, 5] = 0.5, 0.9, 0.9
    boxes, found = pick(make_dense(scores), np.array([[24, 40]], np.int32), 24)
    assert found[0, 0] == pytest.approx(0.5)
    assert (found <= 0.5001).all()
    assert (np.asarray(boxes).max(axis=(0, 1)) <= [40, 24, 40, 24]).all()


def test_a_number_beyond_the_cells_is_filled_up():
    boxes, found = pick(make_dense(np.full((1, 2, 3), 0.3)), np.array([[16, 24]]), 10)
    assert boxes.shape == (1, 10, 4)
    assert found.shape == (1, 10)
    assert not np.asarray(found)[0, 6:].any()


def test_initial_weights_depend_on_the_seed_alone():
    one, again, other = (init_detector(CONFIG, seed) for seed in (1, 1, 2))
    assert jax.tree.all(jax.tree.map(np.array_equal, one, again))
    assert not jax.tree.all(jax.tree.map(np.array_equal, one, other))
