"""What a protocol asks of anything that answers clicks, and what answers them: Segment Anything, classical methods."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from sam_jax.evaluation.classical import CLASSICAL
from sam_jax.evaluation.clicks import Answer, Clicks
from sam_jax.inference import SamPredictor
from sam_jax.types import InputError

SAM = "sam"
METHODS = (SAM, *CLASSICAL)
"""Names of the methods that `make_method` knows."""


@runtime_checkable
class Method(Protocol):
    """Anything that segments what is clicked."""

    def set_image(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Take the RGB image that the clicks to come are on."""
        ...

    def answer(self, objects: Sequence[Clicks]) -> list[Answer]:
        """Segment objects of the image, each by itself: what else is in the list makes no difference.

        Args:
            objects: the clicks on each, with what the method kept of the mask that was picked last.
        """
        ...


class SamMethod:
    """Segment Anything, prompted as it is trained (SAM, appendix A).

    The first click gives three masks; after that the low-resolution logits of the picked mask go in with all clicks,
    and one mask comes out.

    Args:
        predictor: that nobody else uses.
    """

    def __init__(self, predictor: SamPredictor) -> None:
        self._predictor = predictor

    def set_image(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Embed the image."""
        self._predictor.set_image(image)

    def answer(self, objects: Sequence[Clicks]) -> list[Answer]:
        """Masks with the IoU that the model expects; objects with the same number of clicks are decoded together."""
        alike: defaultdict[tuple[int, bool], list[int]] = defaultdict(list)
        for index, clicks in enumerate(objects):
            alike[len(clicks.points), clicks.memory is not None].append(index)
        answers: dict[int, Answer] = {}
        for (count, goes_on), indices in alike.items():
            some = [objects[index] for index in indices]
            masks, iou, logits = self._predictor.predict_batch(
                np.stack([clicks.points for clicks in some]),
                np.stack([clicks.labels for clicks in some]),
                mask_inputs=np.stack([clicks.memory for clicks in some]) if goes_on else None,
                multimask_output=count == 1,
            )
            for i, index in enumerate(indices):
                answers[index] = Answer(masks[i], iou[i], tuple(logits[i]))
        return [answers[index] for index in range(len(objects))]


class Stopwatch:
    """A method that counts the time spent in it.

    Attributes:
        seconds: so far.
    """

    def __init__(self, method: Method) -> None:
        self.seconds = 0.0
        self._method = method

    def set_image(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """As the method does."""
        with self._running():
            self._method.set_image(image)

    def answer(self, objects: Sequence[Clicks]) -> list[Answer]:
        """As the method does."""
        with self._running():
            return self._method.answer(objects)

    @contextmanager
    def _running(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started


def make_method(name: str, predictor: SamPredictor | None = None) -> Method:
    """Make a method that is known by name, for one worker.

    Args:
        name: one of `METHODS`.
        predictor: for Segment Anything; the others need none.

    Raises:
        InputError: there is no such method, or Segment Anything has no predictor.
    """
    if name in CLASSICAL:
        return CLASSICAL[name]()
    if name != SAM:
        raise InputError(f"no method is called {name!r}; there are {', '.join(METHODS)}")
    if predictor is None:
        raise InputError(f"the method {SAM!r} needs a predictor")
    return SamMethod(predictor)
