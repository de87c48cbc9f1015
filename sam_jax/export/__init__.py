"""Models for use without JAX or without this package's code: ONNX, StableHLO, a page for browsers.

Nothing is imported here, so that what was exported can be loaded without the model's code.
"""
