"""How far the masks are from the official predictor's, as a table: `python -m experiments.parity`.

Both implementations hold the same random weights and answer the same prompts about the same photos. The tests in
`tests/parity` hold every case to the limits; this prints how close it comes.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import skimage.data
import skimage.transform
import torch
from rich.console import Console
from rich.table import Table

from experiments.official import segment_anything
from experiments.reference import official_model
from sam_jax import Model, SamPredictor, load
from sam_jax.models import TINY, VIT_B, SamConfig

PHOTO = skimage.data.coffee()


class Pair(NamedTuple):
    """The same weights in both implementations."""

    config: SamConfig
    torch_model: Any
    model: Model


class Case(NamedTuple):
    """Prompts in units of the image's width and height."""

    points: list | None = None
    labels: list | None = None
    box: list | None = None
    with_mask: bool = False


class Difference(NamedTuple):
    """How far an answer is from the official one.

    Attributes:
        embedding: Largest difference of the image embedding, over the largest magnitude of the official one.
        logits: Largest difference of the low-resolution logits, over the largest magnitude of the official ones.
        iou: Largest difference of the predicted IoU.
        pixels: Share of the final masks' pixels that differ.
    """

    embedding: float
    logits: float
    iou: float
    pixels: float


CASES = {
    "point": Case([[0.4, 0.6]], [1]),
    "points": Case([[0.4, 0.6], [0.1, 0.2], [0.8, 0.9]], [1, 0, 1]),
    "many points": Case(np.linspace([0.1, 0.9], [0.9, 0.1], 13).tolist(), [1, 0] * 6 + [1]),
    "no point": Case([[0.4, 0.6], [0, 0]], [1, -1]),
    "box": Case(box=[0.2, 0.3, 0.7, 0.8]),
    "box with points": Case([[0.4, 0.6], [0.6, 0.4]], [1, 0], [0.2, 0.3, 0.7, 0.8]),
    "mask": Case(with_mask=True),
    "mask with point": Case([[0.4, 0.6]], [1], with_mask=True),
    "mask with box and point": Case([[0.5, 0.5]], [0], [0.2, 0.3, 0.7, 0.8], True),
}

SIZES = {
    "smaller than the input": (201, 333),
    "larger": (900, 700),
    "one pixel high after resizing": (2, 700),
    "one pixel wide": (500, 1),
    "a single pixel": (1, 1),
}


def make_pair(config: SamConfig, folder: Path) -> Pair:
    """Random official weights, written by PyTorch and loaded by both."""
    reference = official_model(config)
    torch.save(reference.state_dict(), folder / "official.pth")
    return Pair(config, reference, load(folder / "official.pth"))


def resize_photo(size: tuple[int, int]) -> np.ndarray:
    """The photo at a size (h, w), its proportions lost."""
    return np.asarray(skimage.transform.resize(PHOTO, size, preserve_range=True), np.uint8)


class Predictors:
    """Both predictors, which hold one image, asked the same.

    Args:
        config: Sizes of the model.
        shape: Shape of the image, h × w × 3.
        official: Official predictor.
        ours: Predictor of this package.
    """

    def __init__(
        self, config: SamConfig, shape: tuple[int, ...], official: Any, ours: SamPredictor
    ) -> None:
        self.config = config
        self.scale = np.array([shape[1], shape[0]])
        self.official, self.ours = official, ours

    def predict(self, case: Case, **options: Any) -> tuple[Any, Any]:
        """The official answer, and ours."""
        arguments = {
            "point_coords": None if case.points is None else np.array(case.points) * self.scale,
            "point_labels": None if case.labels is None else np.array(case.labels),
            "box": None if case.box is None else np.array(case.box) * np.tile(self.scale, 2),
        }
        if case.with_mask:
            draw = np.random.default_rng(1)
            side = [4 * side for side in self.config.image_encoder.grid]
            arguments["mask_input"] = draw.normal(0, 5, (1, *side)).astype(np.float32)
        return (
            self.official.predict(**arguments, **options),
            self.ours.predict(**arguments, **options),
        )

    def compare(self, case: Case, **options: Any) -> Difference:
        """How far our answer is from the official one."""
        return self.measure(*self.predict(case, **options))

    def measure(self, theirs: Any, mine: Any) -> Difference:
        """How far one answer is from the other, which `predict` gave."""
        embedding = self.official.get_image_embedding().numpy()
        return Difference(
            _largest(self.ours.get_image_embedding() - embedding) / _largest(embedding),
            _largest(mine[2] - theirs[2]) / _largest(theirs[2]),
            _largest(mine[1] - theirs[1]),
            float((mine[0] != theirs[0]).mean()),
        )


def embed_by_both(pair: Pair, image: np.ndarray) -> Predictors:
    """Both predictors with an image."""
    official, ours = segment_anything.SamPredictor(pair.torch_model), SamPredictor(pair.model)
    official.set_image(image)
    ours.set_image(image)
    return Predictors(pair.config, image.shape, official, ours)


def _largest(values: Any) -> float:
    return float(np.abs(np.asarray(values)).max())


def compare_all(pair: Pair) -> Iterator[Difference]:
    """Every case on one photo, one and three masks each; a box with points on photos of odd sizes."""
    photo = embed_by_both(pair, PHOTO[:300, 50:500])
    for case in CASES.values():
        for multimask_output in (True, False):
            yield photo.compare(case, multimask_output=multimask_output)
    for size in SIZES.values():
        yield embed_by_both(pair, resize_photo(size)).compare(CASES["box with points"])


def main() -> None:
    """Compare, and print the largest differences of each model."""
    parser = argparse.ArgumentParser(description="How far the masks are from the official ones.")
    parser.add_argument("--only", choices=("tiny", "vit_b"), help="one of the two models")
    only = parser.parse_args().only
    table = Table("largest difference", "embedding", "logits", "predicted IoU", "pixels of masks")
    for name, config in (("tiny", replace(TINY, fine=None)), ("vit_b", VIT_B)):
        if only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                pair = make_pair(config, Path(folder))
            worst = [max(column) for column in zip(*compare_all(pair), strict=True)]
            table.add_row(name, *(f"{value:.1e}" for value in worst[:3]), f"{worst[3]:.4%}")
    Console().print(table)


if __name__ == "__main__":
    main()
