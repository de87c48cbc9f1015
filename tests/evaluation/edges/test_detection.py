import numpy as np
import pytest
from scipy.special import expit

from sam_jax.evaluation.edges.benchmark import count_matches, score_edges
from sam_jax.evaluation.edges.detection import (
    EdgeConfig,
    canny_edges,
    detect_edges,
    sobel_edges,
    thin_across,
    trace_masks,
)
from sam_jax.types import InputError


def half_plane(height, width, column, sharpness=1.0):
    """Probability of a mask of all columns below `column`."""
    logits = sharpness * (column - 0.5 - np.arange(width))
    return np.broadcast_to(expit(logits), (height, width))


def test_a_mask_has_an_edge_on_its_outermost_pixels():
    edges = trace_masks([half_plane(9, 14, column=6)], (9, 14))
    expected = np.zeros((9, 14))
    expected[:, 5] = 1  # not along the frame, of which nothing is known
    np.testing.assert_allclose(edges, expected)


def test_the_strongest_mask_counts_and_strengths_are_normalised():
    sharp, soft = half_plane(9, 14, 4, sharpness=3.0), half_plane(9, 14, 10, sharpness=0.5)
    edges = trace_masks(iter([soft, sharp, soft]), (9, 14))
    # Across a straight border, Sobel's gradient goes with the difference of both neighbours.
    sharp_step, soft_step = (p[0, c - 2] - p[0, c] for p, c in ((sharp, 4), (soft, 10)))
    assert (edges[:, 3] == 1).all()
    np.testing.assert_allclose(edges[:, 9], soft_step / sharp_step, rtol=1e-5)
    assert np.count_nonzero(edges) == 2 * 9


def test_both_sides_of_a_border_are_one_edge():
    left = half_plane(9, 14, column=6)
    edges = trace_masks([left, 1 - left], (9, 14))
    assert (np.count_nonzero(edges, axis=1) == 1).all()
    assert (edges[:, 5] == 1).all()


def test_masks_without_a_border():
    nothing, everything = np.full((2, 5, 8), [[[0.1]], [[0.9]]])
    for masks in ([], [nothing], [everything]):
        np.testing.assert_array_equal(trace_masks(masks, (5, 8)), 0)


def test_a_disc_is_traced_by_a_thin_closed_line():
    from skimage.morphology import thin

    rows, columns = np.indices((70, 90))
    radius = np.hypot(rows - 30, columns - 50)
    edges = trace_masks([expit(20.0 - radius)], (70, 90))
    on = edges > 0
    assert np.abs(radius[on] - 20).max() <= 1.5
    assert np.count_nonzero(thin(on)) > 0.95 * np.count_nonzero(on)
    angles = np.arctan2(rows - 30, columns - 50)[on]
    assert np.diff(np.sort(angles)).max() < 0.12


def test_thinning_keeps_the_ridge():
    strength = np.tile([0, 0.2, 0.5, 0.9, 0.5, 0.2, 0], (6, 1))
    across = np.ones_like(strength)
    thin = thin_across(strength, np.zeros_like(across), across)
    assert (thin[:, 3] == 0.9).all()
    assert np.count_nonzero(thin) == 6
    diagonal = np.abs(np.subtract(*np.indices((9, 9))))
    slope = np.sqrt(0.5) * np.ones((9, 9))
    thin = thin_across(np.maximum(3.0 - diagonal, 0), slope, -slope)
    np.testing.assert_array_equal(thin > 0, diagonal == 0)


@pytest.mark.parametrize("method", [sobel_edges, canny_edges])
def test_a_step_has_an_edge_as_strong_as_it_is_high(method):
    image = np.zeros((60, 90, 3), np.uint8)
    image[:, 40:] = 102
    edges = method(image)
    assert (np.count_nonzero(edges, axis=1) == 1).all()
    np.testing.assert_allclose(edges.max(axis=1), 0.4, rtol=0.05)
    truth = np.zeros((1, 60, 90), bool)
    truth[0, :, 39] = True
    tenth = 0.02  # of the diagonal: two pixels of this small image
    assert score_edges([count_matches(edges, truth, max_distance=tenth)]).ods == 1


def test_canny_hears_less_noise_than_sobel():
    rng = np.random.default_rng(0)
    image = np.full((60, 90, 3), 80.0)
    image[:, 45:] = 160
    noisy = np.clip(image + rng.normal(0, 25, (60, 90, 1)), 0, 255).astype(np.uint8)
    truth = np.zeros((1, 60, 90), bool)
    truth[0, :, 44] = True
    sobel, canny = (
        score_edges([count_matches(method(noisy), truth, max_distance=0.02)]).ods
        for method in (sobel_edges, canny_edges)
    )
    assert canny > 0.9 > sobel


def test_config():
    with pytest.raises(InputError, match="at least 1"):
        EdgeConfig(points_per_side=0)
    with pytest.raises(InputError, match="box_nms_thresh"):
        EdgeConfig(box_nms_thresh=1.5)


@pytest.mark.slow
def test_segment_anything_finds_edges(miniature):
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    edges = detect_edges(miniature, image, EdgeConfig(points_per_side=2, points_per_batch=3))
    assert edges.shape == (60, 90)
    assert 0 <= edges.min() < edges.max() <= 1
    again = detect_edges(miniature, image, EdgeConfig(points_per_side=2, points_per_batch=4))
    np.testing.assert_allclose(edges, again, atol=1e-3)
