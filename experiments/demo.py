"""Segments a real photo from start to end: `python -m experiments.demo`, which is what `make demo` runs.

Loads the small model that comes with this package, encodes a photo of a cup of coffee, clicks into the cup, finds the
masks of everything, and leaves the pictures in `demo/`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import skimage.data

from sam_jax import SamAutomaticMaskGenerator, SamPredictor, load
from sam_jax.data.images import write_image
from sam_jax.inference.overlay import draw_everything, draw_overlay

FOLDER = Path("demo")
CLICK = np.array([[300.0, 165.0]])
ON_THE_OBJECT = np.array([1])


@contextmanager
def timed(part: str) -> Iterator[None]:
    """Print how long the block took."""
    start = time.perf_counter()
    yield
    print(f"  {part:<48}{time.perf_counter() - start:8.2f} s")


def main() -> None:
    """Run the demo."""
    FOLDER.mkdir(exist_ok=True)
    photo = skimage.data.coffee()
    print(f"A tiny Segment Anything on {jax.devices()[0].device_kind}:")
    with timed("load the model"):
        model = load()
        predictor = SamPredictor(model)
    with timed(f"encode a photo of {photo.shape[1]}x{photo.shape[0]}, and compile"):
        predictor.set_image(photo)
        jax.block_until_ready(predictor.features)
    with timed("encode it again"):
        predictor.set_image(photo)
        jax.block_until_ready(predictor.features)
    with timed("masks for a click, and compile"):
        predictor.predict(CLICK, ON_THE_OBJECT)
    with timed("masks for a click again"):
        masks, scores, _ = predictor.predict(CLICK, ON_THE_OBJECT)
    with timed("masks of everything, and compile"):
        records = SamAutomaticMaskGenerator(model).generate(photo)
    with timed("draw the pictures"):
        best = masks[[scores.argmax()]]
        clicked, all_masks = FOLDER / "coffee_overlay.png", FOLDER / "coffee_everything.png"
        write_image(clicked, draw_overlay(photo, best, points=CLICK, labels=ON_THE_OBJECT))
        write_image(
            all_masks,
            draw_everything(photo, [np.asarray(record["segmentation"]) for record in records]),
        )
    print(f"The pictures are {clicked.resolve()}")
    print(f"                 {all_masks.resolve()}: {len(records)} masks")


if __name__ == "__main__":
    main()
