"""A small official model in a file, and scripts that run with the official package and with ours."""

import contextlib
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from experiments.official import segment_anything
from experiments.reference import official_model
from sam_jax import load
from sam_jax.checkpoints import SHIPPED_WEIGHTS, load_checkpoint, save_checkpoint
from sam_jax.models import ImageEncoderConfig, MaskDecoderConfig, PromptEncoderConfig, SamConfig
from sam_jax.ops.rle import decode_rle
from sam_jax.segment_anything import sam_model_registry
from sam_jax.segment_anything.__main__ import redirect
from sam_jax.segment_anything.build_sam import wrap_model

DATA = torch.Tensor | np.ndarray | dict | list | tuple | int | float | str
SCRIPTS = Path(__file__).parent / "scripts"
SMALL = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(128, 128),
        width=24,
        depth=2,
        num_heads=3,
        mlp_ratio=3.0,
        window_size=3,
        global_blocks=(0,),
        out_channels=32,
    ),
    prompt_encoder=PromptEncoderConfig(width=32),
    mask_decoder=MaskDecoderConfig(width=32, mlp_width=40, iou_head_width=12),
)


def make_small():
    """The official model with random weights that are sure of themselves, so that automatic masks pass."""
    model = official_model(SMALL)
    with torch.no_grad():
        for name, weight in model.mask_decoder.transformer.named_parameters():
            if name.endswith("proj.weight"):  # attention to few places, so that prompts differ
                weight.mul_(3 if name.endswith(("q_proj.weight", "k_proj.weight")) else 2)
        for mlp in model.mask_decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(10_000)
            mlp.layers[-1].bias.mul_(10_000)
        model.mask_decoder.iou_prediction_head.layers[-1].bias.add_(0.75)
    return model


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("official") / "small.pth"
    torch.save(make_small().state_dict(), path)
    return path


@pytest.fixture(scope="session")
def shipped_checkpoint(tmp_path_factory):
    """The shipped weights, for a smaller input."""
    path = tmp_path_factory.mktemp("shipped") / "tiny.safetensors"
    save_checkpoint(path, *load_checkpoint(SHIPPED_WEIGHTS, image_size=128))
    return path


@pytest.fixture(scope="session")
def photo(tmp_path_factory):
    """A photo 130 wide and 90 high."""
    path = tmp_path_factory.mktemp("photo") / "coffee.png"
    Image.fromarray(skimage.data.coffee()[60:330:3, 150:540:3]).save(path)
    return path


@pytest.fixture
def official_sam(checkpoint):
    return build_official(checkpoint)


@pytest.fixture
def sam(checkpoint):
    return build_ours(checkpoint)


@contextlib.contextmanager
def official_name():
    """A block in which the official name leads to our package."""
    before = {name: sys.modules.pop(name) for name in _official_modules()}
    redirect()
    try:
        yield
    finally:
        for name in _official_modules():
            del sys.modules[name]
        sys.modules.update(before)


def _official_modules():
    return [name for name in sys.modules if name.partition(".")[0] == "segment_anything"]


def build_official(checkpoint):
    model = make_small()
    model.load_state_dict(torch.load(checkpoint))
    return model


def build_ours(checkpoint):
    return wrap_model(load(checkpoint))


@pytest.fixture
def run_script(checkpoint, photo, monkeypatch):
    """Runs a script with one of both packages under the official name, and returns its variables."""

    def run(name, *, ours, weights=checkpoint, model_type="small"):
        registry = sam_model_registry if ours else segment_anything.sam_model_registry
        device = "cuda" if ours else "cpu"
        with monkeypatch.context() as patch:
            patch.setitem(registry, "small", build_ours if ours else build_official)
            patch.setattr(sys, "argv", [name, str(photo), str(weights), model_type, device])
            with official_name() if ours else contextlib.nullcontext():
                return runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")

    return run


def assert_alike(theirs, mine, where=""):
    """The same types, shapes and dtypes, numbers within 1e-4, masks with hardly a pixel of difference."""
    if isinstance(theirs, torch.Tensor | np.ndarray):
        assert type(mine) is type(theirs), where
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype), where
        theirs, mine = (
            np.asarray(x.detach() if isinstance(x, torch.Tensor) else x) for x in (theirs, mine)
        )
        if theirs.dtype == bool or theirs.dtype.kind in "iu":
            assert (mine != theirs).mean() <= 1e-4, where
        else:
            scale = max(1.0, np.abs(theirs).max(initial=0))
            np.testing.assert_allclose(mine, theirs, atol=1e-4 * scale, err_msg=where)
    elif isinstance(theirs, dict) and set(theirs) == {"size", "counts"}:
        assert type(mine["counts"]) is type(theirs["counts"]), where
        assert_alike(decode_rle(theirs), decode_rle(mine), where)
    elif isinstance(theirs, dict):
        assert list(mine) == list(theirs), where
        for key, value in theirs.items():
            assert_alike(value, mine[key], f"{where}.{key}")
    elif isinstance(theirs, list | tuple):
        assert (type(mine), len(mine)) == (type(theirs), len(theirs)), where
        for number, pair in enumerate(zip(theirs, mine, strict=True)):
            assert_alike(*pair, f"{where}[{number}]")
    elif where.endswith(".area"):
        assert type(mine) is int, where
        assert abs(mine - theirs) <= 1, where  # a pixel at the threshold, to the last bit
    elif isinstance(theirs, float):
        # Officially, whole numbers of boxes are floats where a batch or a crop kept no mask.
        assert type(mine) is (int if theirs.is_integer() and isinstance(mine, int) else float), (
            where
        )
        assert mine == pytest.approx(theirs, abs=1e-4), where
    elif isinstance(theirs, int | str | bytes | None):
        assert (type(mine), mine) == (type(theirs), theirs), where


def assert_same_variables(theirs, mine, expected):
    """Everything that a script computed is alike, and the variables that are named are among it."""
    data = {
        name
        for name, value in theirs.items()
        if not name.startswith("__") and name != "sam_model_registry" and isinstance(value, DATA)
    }
    assert set(expected) <= data
    for name in sorted(data - {"device"}):
        assert_alike(theirs[name], mine[name], name)
