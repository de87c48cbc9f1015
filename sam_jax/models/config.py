"""The sizes of a whole model, and the models that have names."""

import math
from dataclasses import dataclass, replace

from sam_jax.memory import require_memory
from sam_jax.models.image_encoder import ImageEncoderConfig
from sam_jax.models.mask_decoder import MaskDecoderConfig
from sam_jax.models.prompt_encoder import PromptEncoderConfig
from sam_jax.ops.arguments import check_size
from sam_jax.types import InputError

LIVE_TOKENS = 4
"""Copies of all tokens that a block of the image encoder holds at least."""
PATCH_SIZE = 16
"""Pixels along the side of a patch in every Segment Anything, which are four places of a low-resolution mask."""


@dataclass(frozen=True, kw_only=True)
class FineConfig:
    """Sizes of what the shipped small model has beyond Segment Anything (`sam_jax.models.fine`).

    Attributes:
        width: Channels of the convolutions at a quarter of the pixels; an eighth of the pixels has twice as many.
        cost_kinds: Number of learned costs over which the distance from the clicks along the image is measured.
    """

    width: int = 32
    cost_kinds: int = 3

    def __post_init__(self) -> None:
        if self.width < 1 or self.cost_kinds < 1:
            raise InputError(
                f"width {self.width} and cost_kinds {self.cost_kinds} of `fine` are at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class AutomaticThresholds:
    """Scores from which the automatic generator trusts a mask, which go with the weights; the defaults are official.

    Attributes:
        pred_iou_thresh: Masks whose predicted IoU is not above this threshold are dropped.
        stability_score_thresh: Masks whose stability score is below this threshold are dropped.
    """

    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95

    def __post_init__(self) -> None:
        for name in ("pred_iou_thresh", "stability_score_thresh"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is from 0 to 1, not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class SamConfig:
    """Sizes of the whole model, which its weights must fit, and what is known of the weights.

    Attributes:
        image_encoder: Sizes of the image encoder.
        prompt_encoder: Sizes of the prompt encoder.
        mask_decoder: Sizes of the mask decoder.
        fine: Sizes of the additions of the shipped small model; None for a Segment Anything.
        automatic: Thresholds of the automatic generator that suit the weights.
    """

    image_encoder: ImageEncoderConfig
    prompt_encoder: PromptEncoderConfig = PromptEncoderConfig()
    mask_decoder: MaskDecoderConfig = MaskDecoderConfig()
    fine: FineConfig | None = None
    automatic: AutomaticThresholds = AutomaticThresholds()

    def __post_init__(self) -> None:
        widths = {
            self.image_encoder.out_channels,
            self.prompt_encoder.width,
            self.mask_decoder.width,
        }
        if len(widths) > 1:
            raise InputError(
                "the image embedding, the prompt encoder and the mask decoder have one width, "
                f"not {sorted(widths)}"
            )
        if self.image_encoder.patch_size != PATCH_SIZE:
            raise InputError(
                f"patch_size is {self.image_encoder.patch_size}: a Segment Anything has patches of {PATCH_SIZE} pixels"
            )

    @property
    def bytes_per_prompt(self) -> int:
        """Size in bytes, in float32, of the image tokens that the decoder changes for each prompt."""
        return 4 * math.prod(self.image_encoder.grid) * self.mask_decoder.width

    def with_image_size(self, image_size: tuple[int, int]) -> "SamConfig":
        """The same model for inputs of another size.

        Args:
            image_size: Height and width of the padded input in pixels.

        Raises:
            InputError: A side is not a multiple of the patch size, or the machine lacks the memory.
        """
        height, width = image_size = check_size("image_size", image_size)
        patches = height * width / PATCH_SIZE**2
        needed = 4 * patches * (3 * PATCH_SIZE**2 + LIVE_TOKENS * self.image_encoder.width)
        require_memory(needed, f"image size {height}x{width}")
        return replace(self, image_encoder=replace(self.image_encoder, image_size=image_size))


VIT_B = SamConfig(
    image_encoder=ImageEncoderConfig(width=768, depth=12, num_heads=12, global_blocks=(2, 5, 8, 11))
)
"""Segment Anything with ViT-B: 93,735,472 parameters."""
VIT_L = SamConfig(
    image_encoder=ImageEncoderConfig(
        width=1024, depth=24, num_heads=16, global_blocks=(5, 11, 17, 23)
    )
)
"""Segment Anything with ViT-L: 312,342,832 parameters."""
VIT_H = SamConfig(
    image_encoder=ImageEncoderConfig(
        width=1280, depth=32, num_heads=16, global_blocks=(7, 15, 23, 31)
    )
)
"""Segment Anything with ViT-H: 641,090,608 parameters."""
TINY = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(512, 512),
        width=192,
        depth=8,
        num_heads=6,
        window_size=8,
        global_blocks=(1, 3, 5, 7),
        out_channels=128,
    ),
    prompt_encoder=PromptEncoderConfig(width=128),
    mask_decoder=MaskDecoderConfig(width=128, mlp_width=512, iou_head_width=128),
    fine=FineConfig(),
    automatic=AutomaticThresholds(pred_iou_thresh=0.5, stability_score_thresh=0.6),
)
"""Small enough to ship its weights. Without `fine`, the official classes can be built with the same numbers."""
