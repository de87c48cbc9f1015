"""Every public loss shows a tried example."""

import pytest

import sam_jax.losses


@pytest.mark.parametrize("name", sorted(sam_jax.losses.__all__))
def test_public_functions_have_examples(name):
    thing = getattr(sam_jax.losses, name)
    if callable(thing) and not isinstance(thing, type):
        assert ">>> " in (thing.__doc__ or "")
