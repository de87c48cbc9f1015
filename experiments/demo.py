"""Segments a real photo from start to end: `python -m experiments.demo`, which is what `make demo` runs.

Writes weights in the official format, converts them, loads them, encodes a photo of a cup of coffee, clicks on the
cup, and leaves the picture in `demo/`. The weights are random until trained ones come with this repository, so the
mask does not mean anything yet.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import skimage.data

from sam_jax import SamPredictor, load
from sam_jax.checkpoints import convert_checkpoint, save_checkpoint
from sam_jax.data.images import write_image
from sam_jax.inference.overlay import draw_overlay
from sam_jax.models import TINY, init_variables

FOLDER = Path("demo")
CLICK = np.array([[300.0, 180.0]])
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
    official, converted = FOLDER / "tiny.pth", FOLDER / "tiny.safetensors"
    picture = FOLDER / "coffee_overlay.png"
    photo = skimage.data.coffee()
    print(f"A tiny Segment Anything on {jax.devices()[0].device_kind}:")
    with timed("make random weights, in the official format"):
        save_checkpoint(official, TINY, init_variables(TINY, seed=0))
    with timed("convert them"):
        convert_checkpoint(official, converted)
    with timed("load the model"):
        predictor = SamPredictor(load(converted))
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
    with timed("draw the picture"):
        best = masks[[scores.argmax()]]
        write_image(picture, draw_overlay(photo, best, points=CLICK, labels=ON_THE_OBJECT))
    print(f"The picture is {picture.resolve()}")
    print("The weights are random, not trained: the mask does not follow the cup yet.")


if __name__ == "__main__":
    main()
