"""Prompting one image again and again, with everything that scripts touch on the official class."""

from typing import Any

import numpy as np

from sam_jax.segment_anything.tensors import (
    HostArray,
    Tensor,
    answers_in_tensors,
    as_array,
    is_tensor,
    like,
    without_gradient,
)
from sam_jax.segment_anything.utils.transforms import ResizeLongestSide
from sam_jax.types import InputError


class SamPredictor:
    """Embeds an image once and predicts masks for any number of prompts.

    Args:
        sam_model: Model, from `sam_model_registry`.

    Attributes:
        model: Model.
        transform: Resizes photos and coordinates to the padded input.
        is_image_set: Whether `predict` has an image to work on.
        features: Image embedding 1 × d × gh × gw; None before an image is set.
        original_size: Height and width of the image as it came.
        input_size: Height and width of the resized image inside the padded input.
        orig_h: None, as in the official class.
        orig_w: None, as in the official class.
        input_h: None, as in the official class.
        input_w: None, as in the official class.
    """

    def __init__(self, sam_model: Any) -> None:
        if not hasattr(sam_model, "image_encoder"):
            raise InputError(
                "SamPredictor takes what sam_model_registry builds; build_sam.wrap_model makes it from a sam_jax.Model"
            )
        self.model = sam_model
        self.transform = ResizeLongestSide(sam_model.image_encoder.img_size)
        self.reset_image()

    def set_image(self, image: np.ndarray, image_format: str = "RGB") -> None:
        """Computes the image's embedding, for `predict` to use.

        Args:
            image: Image of height x width x 3 bytes of 0 to 255.
            image_format: Order of the colours: "RGB", or "BGR" as OpenCV has it.

        Raises:
            InputError: The image is not an 8-bit image of three channels, or is too thin for the model.
        """
        if image_format not in ("RGB", "BGR"):
            raise InputError(f'image_format is "RGB" or "BGR", not {image_format!r}')
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise InputError(
                "an image is an array of height x width x 3 bytes (uint8, 0 to 255), "
                f"not {image.dtype} of shape {image.shape}"
            )
        if image_format != self.model.image_format:
            image = image[..., ::-1]
        resized = self.transform.apply_image(image)
        self.set_torch_image(self._hand_over(resized.transpose(2, 0, 1)[None]), image.shape[:2])

    def set_torch_image(
        self, transformed_image: Tensor, original_image_size: tuple[int, ...]
    ) -> None:
        """Computes the embedding of an image that was resized already.

        Args:
            transformed_image: Image 1 × 3 × h × w from 0 to 255, whose longer side is the padded input's.
            original_image_size: Height and width of the image before it was resized.

        Raises:
            InputError: The image has another shape.
        """
        shape, side = tuple(transformed_image.shape), self.model.image_encoder.img_size
        if len(shape) != 4 or shape[1] != 3 or max(shape[2:]) != side:
            raise InputError(
                f"set_torch_image takes images 1 x 3 x h x w whose longer side is {side}, not {shape}"
            )
        self.reset_image()
        self.original_size = tuple(original_image_size)
        self.input_size = shape[-2:]
        with without_gradient():
            self.features = self.model.image_encoder(self.model.preprocess(transformed_image))
        self.is_image_set = True

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Masks of one object.

        Args:
            point_coords: Clicks p × 2, x, y in pixels of the image.
            point_labels: A label for every click: 1 on the object, 0 beside it.
            box: Box x0, y0, x1, y1 in pixels of the image.
            mask_input: Low-resolution logits 1 × h × w of an earlier answer.
            multimask_output: Whether to give three masks, or one.
            return_logits: Whether to give masks as logits instead of thresholding them.

        Returns:
            Masks m × h × w at the image's size, the predicted IoU of each, and low-resolution logits.

        Raises:
            RuntimeError: No image was set.
            InputError: The parts of the prompt don't fit each other.
        """
        self._require_image()
        coords = labels = boxes = masks = None
        if point_coords is not None:
            if point_labels is None:
                raise InputError(
                    "point_coords and point_labels go together: a label for every point"
                )
            moved = self.transform.apply_coords(np.asarray(point_coords), self.original_size)
            coords = self._hand_over(moved[None].astype(np.float32))
            labels = self._hand_over(np.asarray(point_labels)[None].astype(np.int32))
        if box is not None:
            moved = self.transform.apply_boxes(np.asarray(box), self.original_size)
            if len(moved) != 1:
                raise InputError(
                    f"predict takes one box, not {len(moved)}: predict_torch takes several, in the padded input"
                )
            boxes = self._hand_over(moved.astype(np.float32))
        if mask_input is not None:
            masks = self._hand_over(np.asarray(mask_input, np.float32)[None])
        answers = self.predict_torch(
            coords, labels, boxes, masks, multimask_output, return_logits=return_logits
        )
        masks, iou, low = (as_array(answer[0]) for answer in answers)
        return masks, iou, low

    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Masks of n objects, from prompts in the padded input.

        Args:
            point_coords: Clicks n × p × 2, through `transform`.
            point_labels: A label for every click.
            boxes: Boxes n × 4, through `transform`.
            mask_input: Low-resolution logits n × 1 × h × w of earlier answers.
            multimask_output: Whether to give three masks for each prompt, or one.
            return_logits: Whether to give masks as logits instead of thresholding them.

        Returns:
            Masks n × m × h × w at the image's size, the predicted IoU of each, and low-resolution logits.

        Raises:
            RuntimeError: No image was set.
            InputError: The parts of the prompts don't fit each other.
        """
        self._require_image()
        points = None if point_coords is None else (point_coords, point_labels)
        with without_gradient():
            sparse, dense = self.model.prompt_encoder(points=points, boxes=boxes, masks=mask_input)
            low, iou = self.model.mask_decoder(
                image_embeddings=self.features,
                image_pe=self.model.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask_output,
            )
            masks = self.model.postprocess_masks(low, self.input_size, self.original_size)
        if not return_logits:
            masks = masks > self.model.mask_threshold
        if not answers_in_tensors(point_coords, boxes, mask_input):
            masks, iou, low = (as_array(answer).view(HostArray) for answer in (masks, iou, low))
        return masks, iou, low

    def get_image_embedding(self) -> Tensor:
        """The image embedding 1 × d × gh × gw.

        Raises:
            RuntimeError: No image was set.
        """
        self._require_image()
        return self.features

    @property
    def device(self) -> Any:
        """Where the model's tensors are."""
        return self.model.device

    def reset_image(self) -> None:
        """Forgets the image."""
        self.is_image_set = False
        self.features: Tensor | None = None
        self.original_size: Any = None
        self.input_size: Any = None
        self.orig_h = self.orig_w = self.input_h = self.input_w = None

    def _require_image(self) -> None:
        if not self.is_image_set:
            raise RuntimeError("no image: call set_image(...) first")

    def _hand_over(self, array: np.ndarray) -> Tensor:
        """A tensor on the model's device where PyTorch is installed, else the array."""
        value = like(array)
        return value.to(self.device) if is_tensor(value) else value
