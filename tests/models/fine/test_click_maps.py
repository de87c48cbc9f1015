import jax
import numpy as np
import pytest

from sam_jax.models.fine.click_maps import SPREADS, map_clicks

draw_maps = jax.jit(map_clicks, static_argnums=1)


def test_maps_of_clicks_are_bells_around_them() -> None:
    clicks = np.array([[2, 17, 1], [9, 3, 1], [5, 5, 0], [-1, -1, -1]])
    maps = np.asarray(draw_maps(clicks, (3, 5)))
    assert maps.shape == (3, 5, 2, 2, 2, 2, 10)
    whole = maps.transpose(0, 2, 4, 1, 3, 5, 6).reshape(12, 20, 10)
    for row, column in np.ndindex(12, 20):
        for index, spread in enumerate(SPREADS):
            bells = [
                np.exp(-((row - r) ** 2 + (column - c) ** 2) / (2 * spread**2))
                for r, c, _ in clicks[:3]
            ]
            assert whole[row, column, index] == pytest.approx(max(bells[:2]), rel=1e-4, abs=1e-6)
            assert whole[row, column, 5 + index] == pytest.approx(bells[2], rel=1e-4, abs=1e-6)


def test_a_box_has_no_map_of_clicks() -> None:
    clicks = np.full((4, 3), -1)
    assert not np.any(draw_maps(clicks, (3, 5)))
