"""Pictures drawn by the computer, with exact masks: the largest source of training data."""

from sam_jax.data.synthetic.source import SyntheticSource

__all__ = ["SyntheticSource"]
