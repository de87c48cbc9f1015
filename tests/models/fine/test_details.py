import jax.numpy as jnp
import numpy as np

from sam_jax.models.fine.details import Details, to_blocks


def numbered(gh: int, gw: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps at an eighth and a quarter of the pixels whose channels start with their own row and column."""
    maps = []
    for side, channels in ((2, 8), (4, 4)):
        rows, columns = np.mgrid[: side * gh, : side * gw]
        features = np.zeros((1, side * gh, side * gw, channels), np.float32)
        features[0, ..., 0], features[0, ..., 1] = rows, columns
        maps.append(features)
    return maps[0], maps[1]


def test_places_find_the_features_of_their_own_row_and_column() -> None:
    eighth, quarter = numbered(3, 5)
    details = to_blocks(jnp.array(eighth), jnp.array(quarter))
    assert details.eighth.shape == (1, 3, 5, 2, 2, 8)
    assert details.quarter.shape == (1, 3, 5, 2, 2, 2, 2, 4)
    places = np.array([[0, 0], [11, 19], [5, 14], [10, 3]])
    found = Details(details.eighth[0], details.quarter[0]).at(jnp.array(places))
    np.testing.assert_array_equal(found[:, :2], places // 2)
    np.testing.assert_array_equal(found[:, 8:10], places)
