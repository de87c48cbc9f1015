"""Every public loss shows a tried example."""

import doctest
import importlib

import pytest

import sam_jax.losses


@pytest.mark.parametrize("name", sorted(sam_jax.losses.__all__))
def test_public_functions_have_examples(name):
    thing = getattr(sam_jax.losses, name)
    if callable(thing) and not isinstance(thing, type):
        assert ">>> " in (thing.__doc__ or "")


@pytest.mark.parametrize(
    "module", ["binary", "iou", "multiclass", "objective", "overlap", "points"]
)
def test_examples(module):
    results = doctest.testmod(importlib.import_module(f"sam_jax.losses.{module}"))
    assert results.attempted > 0
    assert results.failed == 0
