"""What the official package exports to ONNX: prompt encoder, mask decoder and enlargement of masks, as one model."""

import functools
import inspect
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sam_jax.export.options import DecoderOptions
from sam_jax.export.packing import find_packing
from sam_jax.export.programs import decode_prompt
from sam_jax.ops.resize import fit_size
from sam_jax.segment_anything.modeling.module import Module
from sam_jax.segment_anything.modeling.sam import Sam
from sam_jax.segment_anything.tensors import Tensor, as_array, like, torch
from sam_jax.segment_anything.utils.amg import calculate_stability_score
from sam_jax.storage import atomic_file
from sam_jax.types import InputError

STABILITY_OFFSET = 1.0
"""Distance of the thresholds whose masks a stability score compares."""
MULTI_WEIGHT, FEW_POINTS = 1000.0, 2.5
"""Numbers of the choice of one mask: with fewer points it is the best of three, otherwise the first."""

_decode = jax.jit(decode_prompt, static_argnums=(1, 2))


class SamOnnxModel(Module):
    """The official class whose instances `torch.onnx.export` traces; here `export` writes the file.

    `python -m sam_jax.segment_anything script.py` lets `torch.onnx.export` in a script lead to `export`.

    Args:
        model: Model with its parts.
        return_single_mask: Whether one mask comes out, the best for a few points, and not all four.
        use_stability_score: Whether masks are scored by their stability and not by the predicted IoU.
        return_extra_metrics: Whether stability scores and areas of the masks come out, too.
    """

    def __init__(
        self,
        model: Any,
        return_single_mask: bool,
        use_stability_score: bool = False,
        return_extra_metrics: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(model, Sam):
            raise InputError(
                f"a SamOnnxModel is made of a model of sam_model_registry, not of {type(model).__name__}"
            )
        self.model = model
        self.mask_decoder = model.mask_decoder
        self.img_size = model.image_encoder.img_size
        self.return_single_mask = return_single_mask
        self.use_stability_score = use_stability_score
        self.stability_score_offset = STABILITY_OFFSET
        self.return_extra_metrics = return_extra_metrics

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        orig_im_size: Tensor,
    ) -> tuple[Tensor, ...]:
        """What the exported model gives: masks at the photo's size, scores, low-resolution logits.

        Args:
            image_embeddings: Embedding of the image, from `image_encoder`.
            point_coords: Points x, y in the padded input, of one prompt.
            point_labels: A label for every point.
            mask_input: Low-resolution logits of an earlier answer.
            has_mask_input: 1 where `mask_input` counts, 0 otherwise.
            orig_im_size: Height and width of the photo.

        Raises:
            InputError: PyTorch is tracing, which would see no computation.
        """
        given = (image_embeddings, point_coords, point_labels, mask_input, has_mask_input)
        if torch is not None and (torch.jit.is_tracing() or torch.compiler.is_compiling()):
            raise InputError(
                "PyTorch cannot trace what JAX computes: call onnx_model.export(PATH) instead of torch.onnx.export, "
                "run the script by `python -m sam_jax.segment_anything`, or use `sam-jax export`"
            )
        model = self.model.as_model()
        arrays = [as_array(value).astype(np.float32) for value in given]
        low, iou = (like(x, *given) for x in _decode(model, find_packing(model), "all", *arrays))
        if self.use_stability_score:
            iou = calculate_stability_score(
                low, self.model.mask_threshold, self.stability_score_offset
            )
        if self.return_single_mask:
            weight = MULTI_WEIGHT * (np.arange(iou.shape[1]) == 0)
            best = int((as_array(iou)[0] + (point_coords.shape[1] - FEW_POINTS) * weight).argmax())
            low, iou = low[:, best : best + 1], iou[:, best : best + 1]
        height, width = (int(side) for side in as_array(orig_im_size))
        fitted = fit_size(height, width, (self.img_size, self.img_size))
        masks = self.model.postprocess_masks(low, fitted, (height, width))
        if not self.return_extra_metrics:
            return masks, iou, low
        stability = calculate_stability_score(
            masks, self.model.mask_threshold, self.stability_score_offset
        )
        areas = (masks > self.model.mask_threshold).sum(-1).sum(-1)
        return masks, iou, stability, areas, low

    def export(self, file: Any) -> None:
        """Write the model as ONNX, with the official names of inputs and outputs.

        Args:
            file: Path, or a file that is open for writing bytes.

        Raises:
            InputError: Stability scores or further metrics are asked for, which this export lacks.
        """
        from sam_jax.export.onnx_models import make_decoder

        if self.use_stability_score or self.return_extra_metrics:
            raise InputError(
                "the export has predicted IoU and three outputs: leave out use_stability_score and return_extra_metrics"
            )
        options = DecoderOptions(masks="single" if self.return_single_mask else "all")
        content = make_decoder(self.model.as_model(), options).SerializeToString()
        if hasattr(file, "write"):
            file.write(content)
            return
        with atomic_file(Path(file)) as opened:
            opened.write(content)


def redirect_export() -> None:
    """Let `torch.onnx.export` write a `SamOnnxModel` by its own export, in this process; others go on to PyTorch."""
    if torch is None:
        return
    official = torch.onnx.export
    signature = inspect.signature(official)

    @functools.wraps(official)
    def export(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        if not isinstance(given["model"], SamOnnxModel):
            return official(*args, **kwargs)
        return given["model"].export(given["f"])

    torch.onnx.export = export
