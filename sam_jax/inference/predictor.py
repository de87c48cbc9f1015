"""Prompting one image again and again, with the official interface."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from sam_jax.data.framing import Framing, frame_image
from sam_jax.inference.arguments import check_model, check_text
from sam_jax.inference.prompt_batches import decode_in_batches
from sam_jax.inference.prompts import PROMPT_SIZES, make_prompts
from sam_jax.inference.steps import embed_images
from sam_jax.inference.upscaling import plan_upscaling, upscale_logits, upscale_masks
from sam_jax.models import Compute, Model, SamConfig, abstract_variables
from sam_jax.models.clip import ClipModel, embed_prompts
from sam_jax.ops.arguments import as_numbers, check_image
from sam_jax.types import ImageEmbedding, InputError


class EmbeddedImage(NamedTuple):
    """What a predictor keeps of an image: all that further prompts need, as a pytree of arrays and integers.

    Attributes:
        features: Embedding of the image as `sam_jax.models.encode_image` gives it for a batch of one.
        framing: Place of the image in the model's padded input.
    """

    features: ImageEmbedding
    framing: Framing


class SamPredictor:
    """Embeds an image once and predicts masks for any number of prompts.

    Methods, arguments, shapes and dtypes are those of the official
    [`segment_anything.SamPredictor`](https://github.com/facebookresearch/segment-anything); arrays are NumPy's.

    Args:
        sam_model: Model with its weights, from `sam_jax.load`.
        text: CLIP with its words, from `sam_jax.inference.loading.load_clip_of`, for weights that take text; None where
            no prompt is a phrase.

    Raises:
        InputError: The model is none, but, for example, a path; or it takes no text, or that of another CLIP.

    Attributes:
        model: Model with its weights.
    """

    def __init__(self, sam_model: Model, text: ClipModel | None = None) -> None:
        check_model(sam_model)
        if text is not None:
            check_text(sam_model, text)
        self.model = sam_model
        self._clip = text
        self.reset_image()

    def reset_image(self) -> None:
        """Forgets the image."""
        self._embedded: EmbeddedImage | None = None

    def set_image(self, image: Any, image_format: str = "RGB") -> None:
        """Computes the image's embedding, for `predict` to use.

        Args:
            image: Image of height x width x 3 bytes of 0 to 255: an array, or what becomes one, as Pillow's images.
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
        self._embedded = EmbeddedImage(embed_images(self.model, framed[None], fitted), framing)

    @property
    def embedding(self) -> EmbeddedImage | None:
        """The image as `set_image` leaves it, which can be kept and set again; None before an image is set."""
        return self._embedded

    @embedding.setter
    def embedding(self, embedding: EmbeddedImage | None) -> None:
        """Set an image that this or another predictor of the same model has embedded, instead of `set_image`.

        Raises:
            InputError: The embedding is of another model.
        """
        self._embedded = None if embedding is None else _check_embedding(self.model, embedding)

    def predict(
        self,
        point_coords: Shaped[np.ndarray, "... p 2"] | None = None,
        point_labels: Shaped[np.ndarray, "... p"] | None = None,
        box: Shaped[np.ndarray, "..."] | None = None,
        mask_input: Shaped[np.ndarray, "... h_low w_low"] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        *,
        text: str | None = None,
    ) -> tuple[
        Bool[np.ndarray, "m h w"] | Float[np.ndarray, "m h w"],
        Float[np.ndarray, " m"],
        Float[np.ndarray, "m h_low w_low"],
    ]:
        """Masks of one object.

        Args:
            point_coords: Clicks x, y in pixels of the image.
            point_labels: A label for every click: 1 on the object, 0 beside it. Two points labelled 2 and 3 are the
                upper left and the lower right corner of a box.
            box: Box x0, y0, x1, y1 in pixels of the image.
            mask_input: Low-resolution logits of one mask of an earlier answer.
            multimask_output: Whether to give three masks, which is best for a single click, or one, which is best for
                several prompts together.
            return_logits: Whether to give masks as logits instead of thresholding them at 0.
            text: Phrase, such as "a wheel", alone or with other prompts, for weights that were trained with text. There
                is an answer whether something fits or not; `sam_jax.inference.text_prompts.segment_phrases` judges it.

        Returns:
            Masks at the image's size, the predicted IoU of each, and low-resolution logits, which can go in again as
            `mask_input`.

        Raises:
            RuntimeError: No image was set.
            InputError: There is no prompt, it is for several objects, its parts don't fit each other, or the predictor
                has no CLIP for its phrase.
        """
        _check_single(point_coords, point_labels, box, mask_input)
        masks, iou, low = self.predict_batch(
            None if point_coords is None else as_numbers("point_coords", point_coords)[None],
            None if point_labels is None else as_numbers("point_labels", point_labels)[None],
            None if box is None else as_numbers("box", box).reshape(1, -1),
            None if mask_input is None else as_numbers("mask_input", mask_input),
            multimask_output,
            return_logits,
            text=None if text is None else [text],
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
        *,
        text: Sequence[str] | None = None,
    ) -> tuple[
        Bool[np.ndarray, "n m h w"] | Float[np.ndarray, "n m h w"],
        Float[np.ndarray, "n m"],
        Float[np.ndarray, "n m h_low w_low"],
    ]:
        """`predict` for several objects of the image at once, each with its own prompt.

        Stands for the official `predict_torch`, but takes coordinates in pixels of the image, not of the input frame,
        and a phrase for each object. For no objects the answers are arrays without elements.
        """
        features, framing = self._require_image()
        prompts = make_prompts(
            framing,
            point_coords=_as_array(point_coords),
            point_labels=_as_array(point_labels),
            boxes=_as_array(boxes),
            mask_inputs=_as_array(mask_inputs),
            text=None if text is None else embed_prompts(self.require_clip(), text),
        )
        plan, upscale = plan_upscaling(framing), upscale_logits if return_logits else upscale_masks
        height, width = framing.original
        count = self.model.config.mask_decoder.num_multimask_outputs if multimask_output else 1
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = [
            (
                np.zeros((0, count, height, width), np.float32 if return_logits else bool),
                np.zeros((0, count), np.float32),
                np.zeros((0, count, *framing.low_size), np.float32),
            )
        ]
        for batch in decode_in_batches(
            self.model,
            features,
            prompts,
            PROMPT_SIZES,
            multimask_output=bool(multimask_output),
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

    def require_clip(self) -> ClipModel:
        """The CLIP that makes embeddings of phrases.

        Raises:
            InputError: There is none, or the weights take no text.
        """
        check_text(self.model)
        if self._clip is None:
            raise InputError(
                "phrases need the CLIP that the weights were trained with: SamPredictor(model, load_clip_of(model)), "
                "from sam_jax.inference.loading"
            )
        return self._clip

    def get_image_embedding(self) -> Float[np.ndarray, "1 d gh gw"]:
        """The image embedding with channels first, as the official method gives it."""
        return np.asarray(self.features)

    @property
    def features(self) -> Float[Array, "1 d gh gw"]:
        """The image embedding with channels first, as the official attribute has it, on the device."""
        return jnp.moveaxis(self.model.sam.features_of(self._require_image().features), -1, 1)

    @property
    def is_image_set(self) -> bool:
        """Whether `predict` has an image to work on."""
        return self._embedded is not None

    @property
    def original_size(self) -> tuple[int, int]:
        """Height and width of the image as it came."""
        return self._require_image().framing.original

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the resized image inside the padded input."""
        return self._require_image().framing.fitted

    def _require_image(self) -> EmbeddedImage:
        if self._embedded is None:
            raise RuntimeError("no image: call set_image(...) first")
        return self._embedded


def _check_embedding(model: Model, embedding: EmbeddedImage) -> EmbeddedImage:
    """The embedding with sizes that are integers, whatever a file or a function over pytrees has made of them."""
    features, framing = embedding
    sizes = [(int(height), int(width)) for height, width in framing]
    expected = _embedding_shapes(model.config, model.compute)
    if jax.tree.structure(features) != jax.tree.structure(expected) or any(
        np.shape(leaf) != other.shape
        for leaf, other in zip(jax.tree.leaves(features), jax.tree.leaves(expected), strict=True)
    ):
        shapes = ", ".join(str(np.shape(leaf)) for leaf in jax.tree.leaves(features))
        wanted = ", ".join(str(leaf.shape) for leaf in jax.tree.leaves(expected))
        raise InputError(
            f"the embedding is of another model: its arrays are {shapes}, and this model's are {wanted}"
        )
    if len(sizes) != 3 or sizes[2] != model.config.image_encoder.image_size:
        raise InputError(
            f"the embedding's framing {sizes} is not of this model, whose input is "
            f"{model.config.image_encoder.image_size} (h, w)"
        )
    return EmbeddedImage(jax.tree.map(jnp.asarray, features), Framing(*sizes))


@cache
def _embedding_shapes(config: SamConfig, compute: Compute) -> Any:
    """Shapes and dtypes of a model's embedding of one image."""
    model = Model(config, abstract_variables(config), compute)
    framed = jax.ShapeDtypeStruct((1, *config.image_encoder.image_size, 3), np.uint8)
    return jax.eval_shape(embed_images, model, framed, jax.ShapeDtypeStruct((1, 2), np.int32))


def _check_single(
    point_coords: np.ndarray | None,
    point_labels: np.ndarray | None,
    box: np.ndarray | None,
    mask_input: np.ndarray | None,
) -> None:
    """Check that a prompt is for one object: the masks of others would be lost."""
    for name, value, most, shape, plural in (
        ("point_coords", point_coords, 2, "(p, 2)", "point_coords of shape (n, p, 2)"),
        ("point_labels", point_labels, 1, "(p,)", "point_labels of shape (n, p)"),
    ):
        if value is not None and np.ndim(value) > most:
            raise InputError(
                f"predict takes the prompt of one object: {name} of shape {shape}, not {np.shape(value)}; "
                f"predict_batch takes {plural}"
            )
    if box is not None and np.size(box) != 4:
        raise InputError(
            f"predict takes one box x0, y0, x1, y1, not an array of shape {np.shape(box)}; "
            "predict_batch(boxes=...) takes several, of shape (n, 4), and answers each"
        )
    if mask_input is not None and (np.ndim(mask_input) != 3 or len(mask_input) != 1):
        raise InputError(
            f"mask_input is the low-resolution logits of one mask, of shape (1, h, w), not {np.shape(mask_input)}: "
            "choose one, low_res_masks[i : i + 1], or give all to predict_batch(mask_inputs=...)"
        )


def _as_array(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else as_numbers("a prompt", values)
