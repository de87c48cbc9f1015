"""The two-way transformer by its official name: a description of the decoder's transformer."""

from typing import Any

from sam_jax.segment_anything.modeling.module import Module
from sam_jax.types import InputError


class TwoWayTransformer(Module):
    """Sizes of the transformer of a `MaskDecoder`, which holds its weights and computes it.

    Args:
        depth: Number of two-way blocks.
        embedding_dim: Width of the tokens.
        num_heads: Number of attention heads.
        mlp_dim: Hidden width of the MLP in a block.
        activation: Activation of the MLP, ReLU; None for the same.
        attention_downsample_rate: Factor by which attention between tokens and image is narrower, 2.

    Raises:
        InputError: The arguments ask for what no Segment Anything has.
    """

    def __init__(
        self,
        depth: int,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        activation: Any = None,
        attention_downsample_rate: int = 2,
    ) -> None:
        super().__init__()
        if activation is not None and activation.__name__ != "ReLU":
            raise InputError(
                f"activation is {activation.__name__}: every Segment Anything has ReLU there"
            )
        if attention_downsample_rate != 2:
            raise InputError(
                f"attention_downsample_rate is {attention_downsample_rate}: in every Segment Anything it is 2"
            )
        self.depth = depth
        self.embedding_dim = embedding_dim
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim

    def forward(self, *args: Any) -> Any:
        """Refuses: only a whole decoder is computed.

        Args:
            args: Image embedding, positional encoding and tokens.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "the transformer is computed by the MaskDecoder that it was given to: call that"
        )
