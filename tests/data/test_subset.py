import numpy as np
import pytest

from sam_jax.data.sa1b import Sa1bFolder
from sam_jax.data.subset import Subset, hold_out


def test_a_subset_has_the_chosen_records_in_order(sa1b_folder):
    source = Sa1bFolder(sa1b_folder)
    subset = Subset(source, [4, 1])
    assert len(subset) == 2
    assert subset.name == source.name
    assert [subset[i].name for i in range(2)] == [source[4].name, source[1].name]
    with pytest.raises(IndexError):
        subset[2]


@pytest.mark.parametrize("every", [2, 3, 5])
def test_what_is_held_back_is_not_trained_on(sa1b_folder, every):
    source = Sa1bFolder(sa1b_folder)
    training, held = hold_out(source, every)
    names = [{part[i].name for i in range(len(part))} for part in (training, held)]
    assert len(names[0]) + len(names[1]) == 6
    assert not names[0] & names[1]
    assert len(held) == -(-6 // every)
    np.testing.assert_array_equal(held[0].image, source[0].image)
