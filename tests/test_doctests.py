"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import sam_jax

ROOT = Path(sam_jax.__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in Path(sam_jax.__file__).parent.rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0
    assert results.failed == 0
