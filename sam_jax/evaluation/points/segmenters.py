"""What answers clicks: the interface, Segment Anything behind it, and methods by name."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from sam_jax.evaluation.experiment import Method, check_method_names, copy_model
from sam_jax.evaluation.points.annotator import Answer, Clicks
from sam_jax.evaluation.points.classical import CLASSICAL_SEGMENTERS
from sam_jax.inference import SamPredictor
from sam_jax.models import Model

SAM = "sam"
POINT_METHODS = (SAM, *CLASSICAL_SEGMENTERS)
"""Names of the methods that `point_methods` knows."""


@runtime_checkable
class ClickSegmenter(Protocol):
    """Anything that segments what is clicked."""

    def set_image(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Take the RGB image that the clicks to come are on."""
        ...

    def answer(self, objects: Sequence[Clicks]) -> list[Answer]:
        """Segment objects of the image, each by itself: what else is in the list makes no difference.

        Args:
            objects: The clicks on each object.
        """
        ...


class SamClickSegmenter:
    """Segment Anything, prompted as it is trained (SAM, appendix A).

    The first click gives three masks; after that the low-resolution logits of the picked mask go in with all clicks,
    and one mask comes out.

    Args:
        predictor: Predictor of the model, which nothing else may use at the same time.
    """

    def __init__(self, predictor: SamPredictor) -> None:
        self._predictor = predictor

    def set_image(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Embed the image."""
        self._predictor.set_image(image)

    def answer(self, objects: Sequence[Clicks]) -> list[Answer]:
        """Masks with their predicted IoU; objects with the same number of clicks are decoded together."""
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


def point_methods(names: Sequence[str], model: Model | None = None) -> list[Method[ClickSegmenter]]:
    """Methods of the point experiment by name.

    Args:
        names: Names from `POINT_METHODS`.
        model: Model with its weights for the method `sam`; it is copied to every device of this machine.

    Raises:
        InputError: A name is unknown, or `sam` is among them and there is no model.
    """
    check_method_names(names, POINT_METHODS)
    return [_make_method(name, model) for name in names]


def _make_method(name: str, model: Model | None) -> Method[ClickSegmenter]:
    if name != SAM:
        return Method(name=name, copies=[CLASSICAL_SEGMENTERS[name]()], has_cases=False)
    models, settings = copy_model(model, name)
    copies = [SamClickSegmenter(SamPredictor(one)) for one in models]
    return Method(name=name, copies=copies, settings=settings)
