"""`sam-jax engine detect` and `prefill`: what they refuse, in one line."""

import pytest

from sam_jax.checkpoints import StoredDetector, save_detector
from sam_jax.cli.main import main
from sam_jax.models import DetectorConfig, init_detector
from tests.data_engine.conftest import write_photos


@pytest.fixture
def detector(tmp_path):
    """A detector of another model's image encoder."""
    config = DetectorConfig(embedding_width=128, width=4, depth=1)
    path = tmp_path / "detector.safetensors"
    save_detector(path, StoredDetector(config, init_detector(config), "0" * 32))
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("prefill", "{0}/none", "--detector", "{0}/detector.safetensors"), "no such folder"),
        (("prefill", "{0}/photos", "--detector", "{0}/none"), "no such file"),
        (("prefill", "{0}/photos", "--detector", "default"), "holds no detector"),
        (
            ("prefill", "{0}/photos", "--detector", "{0}/detector.safetensors"),
            "another image encoder",
        ),
        (
            ("prefill", "{0}/photos", "--detector", "x", "--least-score", "2"),
            "least_score is from 0 to 1",
        ),
        (("detect", "{0}/none.sqlite", "--output", "{0}/run"), "none.sqlite"),
        (
            ("detect", "{0}/none.sqlite", "--output", "{0}/run", "--enlargements", "5"),
            "enlargements is 0, 1 or 2",
        ),
    ],
)
@pytest.mark.usefixtures("detector")
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, capsys, options, message):
    write_photos(tmp_path / "photos", ("coffee",))
    assert main(["engine", *(option.format(tmp_path) for option in options)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
