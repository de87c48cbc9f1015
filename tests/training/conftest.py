import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import sam_jax
from sam_jax.data.loader import Ingredient, Loader, LoaderConfig
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.models import ImageEncoderConfig, MaskDecoderConfig, PromptEncoderConfig, SamConfig
from sam_jax.training.config import DataConfig, Synthetic, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig

MINIATURE = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(32, 48),
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

CONFIG = TrainConfig(
    model=MINIATURE,
    data=DataConfig(
        # Flat shapes, since textures take seconds to make in every process that draws pictures; with this seed no
        # picture has less than two.
        sources=(Synthetic(seed=1, size=(64, 96), plain=1.0),),
        batch_size=16,
        masks_per_image=2,
    ),
    steps=20,
    optimiser=OptimiserConfig(rate=1e-3, warmup_steps=2, decay=CosineDecay()),
    interaction=Interaction(iterations=1, refine_iterations=0),
)


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """What is tested here takes longer to compile than to run."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def batch():
    loader = Loader(
        [Ingredient(SyntheticSource(seed=1, size=(64, 96), plain=1.0))],
        LoaderConfig(frame=MINIATURE.image_encoder.image_size, batch_size=16, num_masks=2),
    )
    batch = next(loader)
    loader.close()
    return batch


@pytest.fixture(scope="session")
def relative_difference():
    """Of two trees, by the norm of all their leaves together."""

    def measure(tree, reference):
        jax.tree.map(lambda *_: None, tree, reference)  # of one structure
        mine, wanted = (
            np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in jax.tree.leaves(one)])
            for one in (tree, reference)
        )
        return float(np.linalg.norm(mine - wanted) / np.linalg.norm(wanted))

    return measure


RUN = """
import dataclasses

from sam_jax.training.config import Reporting
from tests.training.conftest import CONFIG

config = dataclasses.replace(
    CONFIG,
    data=dataclasses.replace(CONFIG.data, batch_size=4),
    reporting=Reporting(metrics_every=1, pictures_every=0, states_every=5),
)
"""
"""A config file: 20 steps of a moment each, on synthetic pictures."""


QUICK_AND_ALONE = {
    "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("--xla_force_host_platform_device_count=8", ""),
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
}
"""For processes with one device, where compiling takes longer than running."""

SHORT = ("--steps", "4", "--masks", "2", "--iterations", "1")
"""Options of fine-tuning that every process of the tests has, so that `MINIATURE`'s step is compiled once."""


class Program:
    """`sam-jax train` on `RUN`, in processes of its own that share their compiled programs."""

    def __init__(self, folder):
        self._config = folder / "run.py"
        self._config.write_text(RUN)
        self._environment = {
            **QUICK_AND_ALONE,
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        }

    def start(self, output, *options, prelude=""):
        """Start in a session of its own, as a terminal does; `prelude` is code that runs before."""
        arguments = ["train", str(self._config), *options, "--output", str(output)]
        main = f"from sam_jax.cli.main import main\nsys.exit(main({arguments!r}))"
        return subprocess.Popen(
            [sys.executable, "-c", f"import sys\n{prelude}\n{main}"]
            if prelude
            else [sys.executable, "-m", "sam_jax", *arguments],
            cwd=Path(sam_jax.__file__).parents[1],
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, output, *options, prelude=""):
        """Exit code, standard output, standard error."""
        process = self.start(output, *options, prelude=prelude)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    return Program(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="session")
def undisturbed(program, tmp_path_factory):
    """The folder of a whole run."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    code, out, err = program.run(folder, "--reporting.pictures-every", "20")
    assert code == 0, err
    assert out == f"trained 20 steps: {folder / 'weights.safetensors'}\n"
    return folder
