"""Synthetic training data: pictures drawn by the computer, with exact masks."""

from sam_jax.data.synthetic.source import SyntheticSource

__all__ = ["SyntheticSource"]
