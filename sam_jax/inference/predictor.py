"""Prompting one image again and again, with the official interface."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from sam_jax.data.framing import Framing, frame_image
from sam_jax.inference.arguments import check_model
from sam_jax.inference.prompt_batches import decode_in_batches
from sam_jax.inference.prompts import PROMPT_SIZES, make_prompts
from sam_jax.inference.steps import embed_images
from sam_jax.inference.upscaling import plan_upscaling, upscale_logits, upscale_masks
from sam_jax.models import Model
from sam_jax.ops.arguments import as_numbers, check_image
from sam_jax.types import ImageEmbedding, InputError


class SamPredictor:
    """Embeds an image once and predicts masks for any number of prompts.

    Methods, arguments, shapes and dtypes are those of the official
    [`segment_anything.SamPredictor`](https://github.com/facebookresearch/segment-anything); arrays are NumPy's.

    Args:
        sam_model: Model with its weights, from `sam_jax.load`.

    Raises:
        InputError: The model is none, but, for example, a path.

    Attributes:
        model: Model with its weights.
        embedding: Embedding of the image as `sam_jax.models.encode_image` gives it; None before an image is set.
    """

    def __init__(self, sam_model: Model) -> None:
        check_model(sam_model)
        self.model = sam_model
        self.reset_image()

    def reset_image(self) -> None:
        """Forgets the image."""
        self.embedding: ImageEmbedding | None = None
        self._framing: Framing | None = None

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
        image = check_image(image)
        self.reset_image()
        if image_format == "BGR":
            image = image[..., ::-1]
        framed, framing = frame_image(image, self.model.config.image_encoder.image_size)
        fitted = np.asarray([framing.fitted], np.int32)
        self.embedding = embed_images(self.model, framed[None], fitted)
        self._framing = framing

    def predict(
        self,
        point_coords: Shaped[np.ndarray, "p 2"] | None = None,
        point_labels: Shaped[np.ndarray, " p"] | None = None,
        box: Shaped[np.ndarray, "..."] | None = None,
        mask_input: Shaped[np.ndarray, "1 h_low w_low"] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[
        Bool[np.ndarray, "m h w"] | Float[np.ndarray, "m h w"],
        Float[np.ndarray, " m"],
        Float[np.ndarray, "m h_low w_low"],
    ]:
        """Masks of one object.

        Args:
            point_coords: Clicks x, y in pixels of the image.
            point_labels: A label for every click: 1 on the object, 0 beside it.
            box: Box x0, y0, x1, y1 in pixels of the image.
            mask_input: Low-resolution logits of an earlier answer.
            multimask_output: Whether to give three masks, which is best for a single click, or one, which is best for
                several prompts together.
            return_logits: Whether to give masks as logits instead of thresholding them at 0.

        Returns:
            Masks at the image's size, the predicted IoU of each, and low-resolution logits, which can go in again as
            `mask_input`.

        Raises:
            RuntimeError: No image was set.
            InputError: There is no prompt, or its parts don't fit each other.
        """
        masks, iou, low = self.predict_batch(
            None if point_coords is None else as_numbers("point_coords", point_coords)[None],
            None if point_labels is None else as_numbers("point_labels", point_labels)[None],
            None if box is None else as_numbers("box", box).reshape(1, -1),
            None if mask_input is None else as_numbers("mask_input", mask_input),
            multimask_output,
            return_logits,
        )
        return masks[0], iou[0], low[0]

    def predict_batch(
        self,
        point_coords: Shaped[np.ndarray, "n p 2"] | None = None,
        point_labels: Shaped[np.ndarray, "n p"] | None = None,
        boxes: Shaped[np.ndarray, "n 4"] | None = None,
        mask_inputs: Shaped[np.ndarray, "n h_low w_low"] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[
        Bool[np.ndarray, "n m h w"] | Float[np.ndarray, "n m h w"],
        Float[np.ndarray, "n m"],
        Float[np.ndarray, "n m h_low w_low"],
    ]:
        """`predict` for several objects of the image at once, each with its own prompt.

        Stands for the official `predict_torch`, but takes coordinates in pixels of the image, not of the input frame.
        """
        framing = self._require_framing()
        prompts = make_prompts(
            framing,
            point_coords=_as_array(point_coords),
            point_labels=_as_array(point_labels),
            boxes=_as_array(boxes),
            mask_inputs=_as_array(mask_inputs),
        )
        plan, upscale = plan_upscaling(framing), upscale_logits if return_logits else upscale_masks
        height, width = framing.original
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for batch in decode_in_batches(
            self.model,
            self.embedding,
            prompts,
            PROMPT_SIZES,
            multimask_output=multimask_output,
        ):
            masks, size = upscale(batch.logits, plan), len(batch.iou)
            parts.append(
                (
                    np.asarray(masks)[:size, :, :height, :width],
                    np.asarray(batch.iou),
                    np.asarray(batch.logits[:size]),
                )
            )
        masks, iou, low = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return masks, iou, low

    def get_image_embedding(self) -> Float[np.ndarray, "1 d gh gw"]:
        """The image embedding with channels first, as the official method gives it."""
        return np.asarray(self.features)

    @property
    def features(self) -> Float[Array, "1 d gh gw"]:
        """The image embedding with channels first, as the official attribute has it, on the device."""
        self._require_framing()
        return jnp.moveaxis(self.model.sam.features_of(self.embedding), -1, 1)

    @property
    def is_image_set(self) -> bool:
        """Whether `predict` has an image to work on."""
        return self._framing is not None

    @property
    def original_size(self) -> tuple[int, int]:
        """Height and width of the image as it came."""
        return self._require_framing().original

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the resized image inside the padded input."""
        return self._require_framing().fitted

    def _require_framing(self) -> Framing:
        if self._framing is None:
            raise RuntimeError("no image: call set_image(...) first")
        return self._framing


def _as_array(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else as_numbers("a prompt", values)
