import os

import pytest

from sam_jax.inference.settings import SETTINGS, keep_settings
from sam_jax.types import InputError, RunError

MADE_WITH = {"points_per_side": 32, "crops": (1, 2)}


def test_the_same_settings_go_on(tmp_path):
    keep_settings(tmp_path / "new" / "results", MADE_WITH)
    keep_settings(tmp_path / "new" / "results", MADE_WITH)
    assert os.listdir(tmp_path / "new" / "results") == [SETTINGS]


@pytest.mark.parametrize(
    ("others", "names"),
    [
        ({"points_per_side": 16}, "points_per_side, crops"),
        ({**MADE_WITH, "overlay": True}, "overlay"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, others, names):
    keep_settings(tmp_path, MADE_WITH)
    with pytest.raises(InputError, match=rf"other settings \({names}; see settings\.json\)"):
        keep_settings(tmp_path, others)


def test_damaged_settings_and_places_that_cannot_be_written(tmp_path, full_disk):
    (tmp_path / SETTINGS).write_text('{"points')
    with pytest.raises(InputError, match="is damaged: delete"):
        keep_settings(tmp_path, MADE_WITH)
    with pytest.raises(InputError, match="Not a directory"):
        keep_settings(tmp_path / SETTINGS / "results", MADE_WITH)
    with full_disk(), pytest.raises(RunError, match="free some space"):
        keep_settings(tmp_path / "other", MADE_WITH)
