"""How far every place of the image is from the clicks, as maps that the mask decoder takes in.

Interactive segmentation without Segment Anything marks clicks this way ([RITM](https://arxiv.org/abs/2102.06583)).
SAM's positional encoding of a click changes little over a thirtieth of the image; the narrow maps tell places nearer
than that apart.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sam_jax.types import PointLabel

SPREADS = (1.0, 3.0, 8.0, 20.0, 50.0)
"""Standard deviations of the bells around a click, in units of four pixels of the input."""
CHANNELS = 2 * len(SPREADS)


def map_clicks(clicks: Int[Array, "t 3"], grid: tuple[int, int]) -> Float[Array, "gh gw 2 2 2 2 k"]:
    """Bells of several widths around the clicks, the highest of all clicks of a kind at each place.

    Args:
        clicks: Row and column at a quarter of the pixels, and label; below 0 for tokens that are no clicks.
        grid: Height and width of the image embedding.

    Returns:
        A feature at a quarter of the pixels has those of foreground clicks, then those of background clicks, each from
        the narrowest to the widest; laid out as the mask decoder enlarges the grid (`sam_jax.models.fine.details`).
    """
    spreads = np.array(SPREADS, np.float32)[None, :, None]

    def bells(centres: Int[Array, " t"], places: int) -> Float[Array, "t s {4*places}"]:
        distances = jnp.arange(4.0 * places)[None, None, :] - centres.astype(float)[:, None, None]
        return jnp.exp(-0.5 * jnp.square(distances / spreads))

    rows, columns = bells(clicks[:, 0], grid[0]), bells(clicks[:, 1], grid[1])
    both = rows[:, :, :, None] * columns[:, :, None, :]
    maps = jnp.concatenate(
        [
            jnp.where((clicks[:, 2] == label)[:, None, None, None], both, 0.0).max(axis=0)
            for label in (PointLabel.FOREGROUND, PointLabel.BACKGROUND)
        ]
    )
    blocks = maps.reshape(CHANNELS, grid[0], 2, 2, grid[1], 2, 2)
    return blocks.transpose(1, 4, 2, 5, 3, 6, 0)
