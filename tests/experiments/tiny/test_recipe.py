"""The driver on a table of moments: real training, killed and started again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from experiments.tiny.recipe import ADDED, add_layers, average, make_config
from experiments.tiny.sources import Mixture, make_sources
from experiments.tiny.stages import LIKE_SAM, NEW_LAYERS_FASTER, STAGES, Stage
from sam_jax.checkpoints import load_checkpoint
from sam_jax.models import (
    TINY,
    MaskDecoderConfig,
    Model,
    PromptEncoderConfig,
    abstract_variables,
    decode_masks,
    encode_image,
    encode_prompts,
    init_variables,
)
from sam_jax.training.config import Stored, Synthetic
from sam_jax.training.parameters import check_patterns
from sam_jax.types import Prompts

SMALL = replace(
    TINY,
    image_encoder=replace(
        TINY.image_encoder,
        width=16,
        depth=1,
        num_heads=2,
        window_size=2,
        global_blocks=(),
        out_channels=16,
    ),
    prompt_encoder=PromptEncoderConfig(width=16),
    mask_decoder=MaskDecoderConfig(
        width=16, depth=1, num_heads=2, mlp_width=32, iou_head_depth=2, iou_head_width=16
    ),
)
ROW = Stage(
    name="flat",
    side=32,
    steps=2,
    rate=1e-3,
    last_rate=0.1,
    mixture=Mixture(flat=1.0),
    masks=2,
    warmup_steps=1,
    model=replace(SMALL, fine=None),
)
ROWS = (ROW, replace(ROW, name="again", kept=0.25))
"""Of a model like SAM, which compiles quickly and once; adding layers has a test of its own."""
RUN = """
import sys
from pathlib import Path
from experiments.tiny.recipe import run_recipe
from tests.experiments.tiny.test_recipe import ROWS

run_recipe(ROWS, Path(sys.argv[1]), data=Path("data"), photos=Path("photos"), workers=0)
"""
"""A program that runs these rows: with one device, and without optimisations, which take longer than they save."""


def start(folder: Path) -> subprocess.Popen:
    root = Path(__file__).parents[3]
    one_device = os.environ["XLA_FLAGS"].replace("--xla_force_host_platform_device_count=8", "")
    quick = {"XLA_FLAGS": one_device, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder)],
        cwd=root,
        env={**os.environ, **quick},
        start_new_session=True,
    )


def leaves(path):
    return flatten_dict(load_checkpoint(path)[1], sep="/")


def assert_stages_follow_one_another(folder: Path) -> None:
    for row in ROWS:
        config, _ = load_checkpoint(folder / f"{row.name}.safetensors")
        assert config == row.model.with_image_size((row.side, row.side))
    before, after = (
        leaves(folder / "first_weights.safetensors"),
        leaves(folder / "flat.safetensors"),
    )
    begun = leaves(folder / "flat/start.safetensors")
    assert all((before[path] == leaf).all() for path, leaf in begun.items())
    # Masks were no prompts, so of the layers that encode them only the kernels moved, by weight decay.
    assert np.mean([(before[path] != after[path]).any() for path in after]) > 0.85
    trained = leaves(folder / "again/weights.safetensors")
    begun = leaves(folder / "again/start.safetensors")
    last, half = leaves(folder / "again.safetensors"), leaves(folder / "tiny.safetensors")
    for path, leaf in last.items():
        np.testing.assert_allclose(leaf, 0.75 * trained[path] + 0.25 * begun[path], atol=1e-6)
        np.testing.assert_array_equal(half[path], leaf.astype(np.float16).astype(np.float32))


@pytest.mark.slow
def test_a_killed_recipe_goes_on_and_ends_as_one_left_alone(tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert start(undisturbed).wait() == 0
    assert_stages_follow_one_another(undisturbed)
    killed.mkdir()
    for done in ("first_weights.safetensors", "flat.safetensors"):  # The first stage is the same.
        shutil.copy(undisturbed / done, killed)
    first = (killed / "flat.safetensors").stat().st_mtime_ns
    process = start(killed)
    deadline = time.monotonic() + 600
    while not (killed / "again" / "config.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "again.safetensors").exists()
    assert start(killed).wait() == 0
    assert (killed / "flat.safetensors").stat().st_mtime_ns == first
    name = "tiny.safetensors"
    assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()


def test_added_layers_change_nothing():
    plain = replace(SMALL, fine=None).with_image_size((48, 80))
    fine = SMALL.with_image_size((48, 80))
    variables = init_variables(plain, seed=1)
    pixels = jax.random.normal(jax.random.key(3), (1, 48, 80, 3))
    prompts = Prompts(jnp.array([[[[50.0, 21.0]]]]), jnp.ones((1, 1, 1), jnp.int32))

    @jax.jit
    def answer(model):
        embeddings = encode_image(model, pixels)
        return decode_masks(
            model, embeddings, encode_prompts(model, prompts), multimask_output=True
        )

    before = answer(Model(plain, variables))
    after = answer(Model(fine, add_layers(variables, fine)))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5 * np.abs(one).max())


def test_the_mean_is_by_shares():
    new, old = {"a": np.full(3, 4.0)}, {"a": np.zeros(3)}
    np.testing.assert_array_equal(average(new, old, 0.25)["a"], np.full(3, 3.0))


def test_every_row_is_a_training_run():
    """Sources that are read exist once the photos are written; what is drawn differs from row to row."""
    seeds = []
    for number, stage in enumerate(STAGES):
        sources = make_sources(stage.mixture, seed=number, data=Path("data"), photos=Path("photos"))
        config = make_config(stage, number, sources)
        assert config.model.image_encoder.image_size == (stage.side, stage.side)
        stored = {source.path for source in sources if isinstance(source, Stored)}
        assert stored <= {"data/bbbc038"} | {
            f"photos/{part}"
            for part in ("objects", "things", "regions", "small_regions", "surroundings")
        }
        seeds += [
            source.seed
            for source in sources
            if isinstance(source, Synthetic) and source.size == (384, 512)
        ]
    assert len(set(seeds)) == len(seeds)
    assert len({stage.name for stage in STAGES}) == len(STAGES)
    assert STAGES[-1].model == TINY
    assert STAGES[-1].side == 512


def test_patterns_fit_the_model():
    params = abstract_variables(TINY)["params"]
    check_patterns("rate_factors", [pattern for pattern, _ in NEW_LAYERS_FASTER], params)
    paths = flatten_dict(dict(params), sep="/")
    plain = flatten_dict(dict(abstract_variables(LIKE_SAM)["params"]), sep="/")
    for layer in ADDED:
        found = [path for path in paths if path.startswith(f"{layer}/")]
        assert found
        assert not set(found) & set(plain)
