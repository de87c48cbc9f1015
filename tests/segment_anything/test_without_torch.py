"""The package where PyTorch is not installed: the same masks, as arrays."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sam_jax.segment_anything import SamPredictor
from tests.segment_anything.conftest import SCRIPTS

PROGRAM = """
import sys

sys.modules["torch"] = None  # as if it were not there
import numpy as np
from PIL import Image

from sam_jax import InputError, load
from sam_jax.segment_anything import SamPredictor
from sam_jax.segment_anything.build_sam import wrap_model

photo, checkpoint, answers = sys.argv[1:]
sam = wrap_model(load(checkpoint)).to(device="cuda").cuda().half().float().train().eval()
state = {name: array.copy() for name, array in sam.state_dict().items()}
sam.load_state_dict({name: np.zeros_like(array) for name, array in state.items()})
assert not np.asarray(sam.image_encoder.variables()["params"]["image_encoder"]["pos_embed"]).any()
sam.load_state_dict(state)
try:
    sam.load_state_dict({"image_encoder.pos_embed": np.zeros(3)})
except InputError as error:
    print(error)
predictor = SamPredictor(sam)
predictor.set_image(np.asarray(Image.open(photo)))
boxes = predictor.transform.apply_boxes_torch(np.array([[10, 20, 90, 70]]), predictor.original_size)
masks, scores, low = predictor.predict_torch(None, None, boxes=boxes)
features = predictor.get_image_embedding().detach().cpu().numpy()
np.savez(answers, masks=masks, scores=scores, features=features, **state)
assert (sam.device, len(list(sam.parameters()))) == ("cpu", len(state))
"""


@pytest.mark.slow
def test_arrays_stand_for_tensors(sam, photo, checkpoint, tmp_path):
    arguments = (photo, checkpoint, tmp_path / "answers.npz")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS.parents[2])},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "belongs to another model" in ended.stdout
    answers = np.load(tmp_path / "answers.npz")
    predictor = SamPredictor(sam)
    predictor.set_image(np.asarray(Image.open(photo)))
    masks, scores, _ = predictor.predict(box=np.array([10, 20, 90, 70]))
    np.testing.assert_array_equal(answers["masks"][0], masks)
    np.testing.assert_allclose(answers["scores"][0], scores, atol=1e-6)
    np.testing.assert_allclose(answers["features"], predictor.features, atol=1e-5)
    for name, tensor in sam.state_dict().items():
        np.testing.assert_array_equal(answers[name], tensor)
