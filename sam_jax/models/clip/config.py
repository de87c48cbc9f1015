"""Sizes of CLIP, and the published models that have names."""

from dataclasses import dataclass
from typing import Any

from sam_jax.ops.arguments import check_count, check_counts, check_size
from sam_jax.types import InputError


@dataclass(frozen=True, kw_only=True)
class ClipTextConfig:
    """Sizes of CLIP's text tower.

    Attributes:
        width: Width of the tokens, a multiple of `num_heads`.
        depth: Number of blocks.
        num_heads: Number of attention heads of a block.
        mlp_width: Hidden width of a block's MLP.
        context: Number of tokens of a phrase, with those of its start and its end.
        vocabulary: Number of different tokens.
        end_of_text: Token whose feature is that of the phrase, at its first place; None for the highest token, as
            OpenAI's models have it.
        activation: Activation function of the MLPs: quick_gelu in OpenAI's models, gelu in many later ones.
    """

    width: int
    depth: int
    num_heads: int
    mlp_width: int
    context: int = 77
    vocabulary: int = 49_408
    end_of_text: int | None = None
    activation: str = "quick_gelu"

    def __post_init__(self) -> None:
        check_transformer(self)
        check_count("context", self.context, least=3)
        check_counts(self, "vocabulary")
        if self.end_of_text is not None:
            check_count("end_of_text", self.end_of_text)
            if self.end_of_text >= self.vocabulary:
                raise InputError(
                    f"end_of_text {self.end_of_text} is no token of a vocabulary of {self.vocabulary}"
                )


@dataclass(frozen=True, kw_only=True)
class ClipImageConfig:
    """Sizes of CLIP's image tower.

    Attributes:
        width: Width of the tokens, a multiple of `num_heads`.
        depth: Number of blocks.
        num_heads: Number of attention heads of a block.
        mlp_width: Hidden width of a block's MLP.
        image_size: Height and width of the images in pixels, multiples of `patch_size`.
        patch_size: Side of a patch in pixels.
        activation: Activation function of the MLPs: quick_gelu in OpenAI's models, gelu in many later ones.
    """

    width: int
    depth: int
    num_heads: int
    mlp_width: int
    image_size: tuple[int, int] = (224, 224)
    patch_size: int = 32
    activation: str = "quick_gelu"

    def __post_init__(self) -> None:
        check_transformer(self)
        check_counts(self, "patch_size")
        height, width = check_size("image_size", self.image_size)
        if height % self.patch_size or width % self.patch_size:
            raise InputError(
                f"image_size {height}x{width} (height x width) must be multiples of the patch size, {self.patch_size}"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Numbers of patches down and across, (gh, gw)."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Sizes of CLIP.

    Attributes:
        text: Sizes of the text tower.
        image: Sizes of the image tower.
        width: Width of the space in which both towers' features meet.
        has_logit_bias: Whether a learned number is added to the logits, as a model has that was trained by the sigmoid
            loss ([Zhai et al. 2023](https://arxiv.org/abs/2303.15343)).
        has_prompt_shift: Whether the weights hold how far features of images lie from those of phrases on average, as
            contrastive training leaves them ([Liang et al. 2022](https://arxiv.org/abs/2203.02053)). `embed_prompts`
            closes this gap.
    """

    text: ClipTextConfig
    image: ClipImageConfig
    width: int
    has_logit_bias: bool = False
    has_prompt_shift: bool = False

    def __post_init__(self) -> None:
        check_counts(self, "width")


def check_transformer(config: Any) -> None:
    """Check the sizes that both towers have.

    Raises:
        InputError: One is no such size.
    """
    check_counts(config, "width", "depth", "num_heads", "mlp_width")
    if config.width % config.num_heads:
        raise InputError(f"width {config.width} is a multiple of num_heads {config.num_heads}")
    if config.activation not in ("quick_gelu", "gelu"):
        raise InputError(f"activation is quick_gelu or gelu, not {config.activation!r}")


_TEXT_B = ClipTextConfig(width=512, depth=12, num_heads=8, mlp_width=2048)
_TEXT_L = ClipTextConfig(width=768, depth=12, num_heads=12, mlp_width=3072)

CLIP_VIT_B_32 = ClipConfig(
    text=_TEXT_B,
    image=ClipImageConfig(width=768, depth=12, num_heads=12, mlp_width=3072),
    width=512,
)
"""CLIP ViT-B/32: 151,277,313 parameters."""
CLIP_VIT_B_16 = ClipConfig(
    text=_TEXT_B,
    image=ClipImageConfig(width=768, depth=12, num_heads=12, mlp_width=3072, patch_size=16),
    width=512,
)
"""CLIP ViT-B/16: 149,620,737 parameters."""
CLIP_VIT_L_14 = ClipConfig(
    text=_TEXT_L,
    image=ClipImageConfig(width=1024, depth=24, num_heads=16, mlp_width=4096, patch_size=14),
    width=768,
)
"""CLIP ViT-L/14: 427,616,513 parameters."""
CLIP_VIT_L_14_336 = ClipConfig(
    text=_TEXT_L,
    image=ClipImageConfig(
        width=1024, depth=24, num_heads=16, mlp_width=4096, patch_size=14, image_size=(336, 336)
    ),
    width=768,
)
"""CLIP ViT-L/14@336px, which Segment Anything's text prompts are made for: 427,944,193 parameters."""

CLIP_TINY = ClipConfig(
    text=ClipTextConfig(
        width=64, depth=2, num_heads=2, mlp_width=256, context=16, vocabulary=620, activation="gelu"
    ),
    image=ClipImageConfig(
        width=96,
        depth=3,
        num_heads=3,
        mlp_width=384,
        image_size=(48, 48),
        patch_size=8,
        activation="gelu",
    ),
    width=64,
    has_logit_bias=True,
    has_prompt_shift=True,
)
"""A small CLIP for the words of drawings (`sam_jax.data.phrases`), trained by the sigmoid loss: 509,090 parameters."""
