"""What holds for patterns of paths over every tree of parameters."""

import re
from fnmatch import fnmatchcase

import jax
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sam_jax.models import TINY, abstract_variables
from sam_jax.training.parameters import (
    find_frozen,
    layer_factor,
    map_paths,
    pick_trainable,
    put_back,
)
from sam_jax.types import InputError

NAMES = st.text("abc_012", min_size=1, max_size=4)


@pytest.fixture(scope="module")
def params():
    return abstract_variables(TINY)["params"]


@st.composite
def trees(draw):
    """Parameters in a folder or two."""
    paths = draw(
        st.dictionaries(st.tuples(NAMES, NAMES), st.integers(0, 9), min_size=2, max_size=8)
    )
    leaves = {("top", *path): np.full(2, value) for path, value in paths.items()}
    return unflatten_dict({**leaves, ("alone",): np.zeros(3)})


def paths_of(tree):
    return jax.tree.leaves(map_paths(str, tree))


def frozen_paths(tree, patterns):
    return {
        path
        for path, frozen in zip(
            paths_of(tree), jax.tree.leaves(find_frozen(tree, patterns)), strict=True
        )
        if frozen
    }


@given(st.data(), trees())
def test_a_path_names_itself_alone(data, tree):
    chosen = data.draw(st.sets(st.sampled_from(paths_of(tree)), max_size=len(paths_of(tree)) - 1))
    assert frozen_paths(tree, sorted(chosen)) == chosen


@given(st.data(), trees())
def test_a_star_stands_for_any_rest_across_slashes(data, tree):
    path = data.draw(st.sampled_from(paths_of(tree)))
    start = path[: data.draw(st.integers(1, len(path)))]
    expected = {other for other in paths_of(tree) if other.startswith(start)}
    assume(len(expected) < len(paths_of(tree)))
    assert frozen_paths(tree, [f"{start}*"]) == expected


@given(st.data(), trees())
def test_patterns_freeze_together_what_each_freezes_alone(data, tree):
    ends = sorted({path[-1] for path in paths_of(tree)})
    patterns = [f"*{end}" for end in data.draw(st.permutations(ends))[:2]]
    alone = [{path for path in paths_of(tree) if fnmatchcase(path, p)} for p in patterns]
    assume(len(set.union(*alone)) < len(paths_of(tree)))
    assert frozen_paths(tree, patterns) == set.union(*alone)
    assert frozen_paths(tree, patterns[::-1]) == set.union(*alone)


@given(st.data(), trees())
def test_what_is_picked_is_put_back(data, tree):
    frozen = jax.tree.map(lambda _: data.draw(st.booleans()), tree)
    trainable = pick_trainable(tree, frozen)
    assert len(jax.tree.leaves(trainable)) == sum(not f for f in jax.tree.leaves(frozen))
    trained = jax.tree.map(lambda leaf: leaf + 10, trainable)
    whole = put_back(trained, tree)
    expected = jax.tree.map(lambda leaf, f: leaf if f else leaf + 10, tree, frozen)
    jax.tree.map(np.testing.assert_array_equal, whole, expected)
    jax.tree.map(np.testing.assert_array_equal, put_back(trainable, tree), tree)


@given(data=st.data())
@settings(max_examples=25)
def test_a_slip_in_a_path_is_answered_by_a_pattern_that_fits(params, data):
    paths = paths_of(params)
    path = data.draw(st.sampled_from(paths))
    place = data.draw(st.integers(1, len(path) - 1))
    slip = path[:place] + data.draw(st.sampled_from("xyz")) + path[place + 1 :]
    assume(slip not in paths)
    with pytest.raises(InputError, match="did you mean") as error:
        find_frozen(params, [slip])
    assert repr(slip) in str(error.value)
    hint = re.search(r"did you mean (\S+)\?", str(error.value))[1]
    assert any(fnmatchcase(known, hint) for known in paths)


@given(st.integers(1, 40), st.floats(0.1, 1), st.data())
def test_later_blocks_learn_no_slower(depth, decay, data):
    earlier = data.draw(st.integers(0, depth - 1))
    later = data.draw(st.integers(earlier, depth - 1))
    factors = [
        layer_factor(path, depth, decay)
        for path in (
            "image_encoder/pos_embed",
            f"image_encoder/blocks_{earlier}/mlp/lin1/kernel",
            f"image_encoder/blocks_{later}/mlp/lin1/kernel",
            "image_encoder/neck/conv1/kernel",
        )
    ]
    assert factors == sorted(factors)
    assert factors[-1] == 1
    assert factors[0] == pytest.approx(decay ** (depth + 1))
    assert factors[2] == pytest.approx(factors[1] / decay ** (later - earlier))
