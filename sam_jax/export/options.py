"""What is exported, and how a model is computed outside of JAX."""

from dataclasses import dataclass, replace

from sam_jax.models import Compute, Model
from sam_jax.types import InputError

AT_ONCE = 1 << 30
"""More than there is of anything: nothing is done in parts, which would be loops."""
FREE_POINTS = "num_points"
"""Name of the free number of points in ONNX files."""


@dataclass(frozen=True, kw_only=True)
class DecoderOptions:
    """What a decoder gives.

    Attributes:
        masks: "all" for the four masks of every prompt, the one for several prompts together first, as the official
            exporter's default; "multi" for three; "single" for the best of three where there are one or two points, and
            for the one otherwise, as the official `--return-single-mask`.
        outputs: "full" for logits at the photo's size, predicted IoU and low-resolution logits, as the official
            exporter; "low" without those at the photo's size, which are large; "cvat" for what CVAT expects: in place
            of the logits at the photo's size a mask of bytes, cropped to its box, and the box `xtl`, `ytl`, `xbr`,
            `ybr`.
    """

    masks: str = "all"
    outputs: str = "full"

    def __post_init__(self) -> None:
        if self.masks not in ("all", "multi", "single"):
            raise InputError(f"masks is all, multi or single, not {self.masks!r}")
        if self.outputs not in ("full", "low", "cvat"):
            raise InputError(f"outputs is full, low or cvat, not {self.outputs!r}")


def compute_at_once(model: Model) -> Model:
    """The model as it is exported: in float32, and everything at once, without loops."""
    compute = Compute(
        heads_at_once=AT_ONCE,
        rows_at_once=AT_ONCE,
        windows_at_once=AT_ONCE,
        tokens_at_once=AT_ONCE,
        prompts_at_once=AT_ONCE,
    )
    return replace(model, compute=compute)
