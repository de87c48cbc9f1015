import numpy as np
import pytest

from sam_jax.checkpoints import (
    StoredDetector,
    load_checkpoint,
    load_detector,
    name_encoder,
    save_detector,
)
from sam_jax.checkpoints.conversion import flatten
from sam_jax.models import DetectorConfig, init_detector
from sam_jax.types import CheckpointError

CONFIG = DetectorConfig(embedding_width=6, width=4, depth=1)


@pytest.fixture
def stored(tmp_path):
    """A file with a detector, and the detector."""
    detector = StoredDetector(CONFIG, init_detector(CONFIG, seed=5), "0123456789abcdef" * 2)
    save_detector(tmp_path / "detector.safetensors", detector)
    return tmp_path / "detector.safetensors", detector


def test_a_detector_comes_back_as_it_was(stored):
    path, detector = stored
    read = load_detector(path)
    assert (read.config, read.encoder) == (CONFIG, detector.encoder)
    ours, theirs = flatten(read.variables), flatten(detector.variables)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_files_of_something_else_are_refused(stored, tmp_path):
    path, _ = stored
    with pytest.raises(CheckpointError, match="default holds no detector"):
        load_detector("default")
    with pytest.raises(CheckpointError, match="no such file"):
        load_detector(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="not a Segment Anything"):
        load_checkpoint(path)
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load_detector(path)
    path.write_bytes(content.replace(rb"\"depth\": 1", rb"\"depth\":99"))
    with pytest.raises(CheckpointError, match="99 layers"):
        load_detector(path)


def test_the_name_of_an_encoder_is_that_of_its_weights():
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    params = {"image_encoder": {"neck": kernel}, "mask_decoder": {"x": kernel}}
    trained = {**params, "mask_decoder": {"x": kernel + 1}}
    assert name_encoder(params) == name_encoder(trained)
    assert name_encoder(params) != name_encoder({"image_encoder": {"neck": kernel + 1}})
