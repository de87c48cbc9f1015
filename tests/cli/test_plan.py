"""Plans of small models, for devices that JAX makes of this machine's CPU and for chips that are not here."""

import importlib.util
import re

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding

from sam_jax.cli.main import main
from sam_jax.data.example import Batch
from sam_jax.distributed import device_mesh, place_batch
from sam_jax.distributed.kept_programs import load_program
from sam_jax.plan import compilation, planning
from sam_jax.plan.compilation import Compiled, Shortage, read_shortage
from sam_jax.training.preparation import prepare
from sam_jax.types import InputError

PAINTING = """
from sam_jax.models import MaeConfig, TransformerConfig
from sam_jax.training.config import DataConfig, PretrainConfig, Synthetic
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig

config = PretrainConfig(
    model=MaeConfig(
        image_size=(32, 48),
        encoder=TransformerConfig(width=16, depth=1, num_heads=2),
        decoder=TransformerConfig(width=8, depth=1, num_heads=2),
    ),
    data=DataConfig(sources=(Synthetic(size=(32, 48)),), batch_size=4),
    steps=1_000,
    optimiser=OptimiserConfig(warmup_steps=2, decay=CosineDecay(), layer_decay=1.0),
)
"""
SEGMENTING = """
from sam_jax.training.config import DataConfig, Synthetic, TrainConfig
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from tests.cli.conftest import MINIATURE

config = TrainConfig(
    model=MINIATURE,
    data=DataConfig(sources=(Synthetic(size=(64, 64)),), batch_size=8, masks_per_image=1),
    steps=1_000,
    optimiser=OptimiserConfig(decay=CosineDecay()),
)
"""


@pytest.fixture(autouse=True)
def plans(tmp_path, monkeypatch):
    """A cache folder without plans, and quick compilation."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    jax.config.update("jax_disable_most_optimizations", True)
    yield tmp_path / "cache" / "sam_jax" / "plans"
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def painting(tmp_path):
    path = tmp_path / "painting.py"
    path.write_text(PAINTING)
    return path


@pytest.fixture
def segmenting(tmp_path):
    path = tmp_path / "segmenting.py"
    path.write_text(SEGMENTING)
    return path


def plan(capsys, *arguments) -> str:
    capsys.readouterr()
    assert main(["plan", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def row(shown: str, name: str) -> str:
    return re.search(rf"^  {name} +(.*)$", shown, re.MULTILINE)[1]


@pytest.mark.slow
def test_a_training_step_is_compiled_kept_and_run(painting, tmp_path, capsys, plans):
    command = (painting, "--topology", "cpu:2", "--keep", tmp_path / "kept")
    shown = plan(capsys, *command)
    assert "train on cpu:2, 2 chips: 4 images a step, 2 on each chip" in shown
    assert row(shown, "in all").endswith("iB")
    assert row(shown, "arithmetic").endswith("FLOP")
    assert "wrote 1 compiled programs" in shown
    assert len(list(plans.glob("*.json"))) == 1
    again = plan(capsys, *command[:-2])
    assert "kept from before" in again
    assert row(again, "memory") == row(shown, "memory")

    names = {}
    exec(PAINTING, names)
    mesh = device_mesh(jax.devices()[:2])
    prepared = prepare(names["config"], mesh)
    step = load_program(tmp_path / "kept" / "train.program", jax.devices()[:2])
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), prepared.specs)

    def state():  # a step uses up the one that it is given
        def draw(leaf):
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                return jax.random.key(0)
            return np.full(leaf.shape, 0.01, leaf.dtype)

        return jax.device_put(jax.tree.map(draw, prepared.abstract_state), shardings)

    images = np.random.default_rng(0).integers(0, 255, (4, 32, 48, 3), np.uint8)
    batch = (
        images,
        np.full((4, 2), (32, 48), np.int32),
        np.zeros((4, 0, 8, 12), bool),
        np.zeros((4, 0), bool),
    )
    placed = place_batch(Batch(*batch), mesh)
    _, means, norm = step(state(), placed)
    _, wanted, wanted_norm = prepared.train_step(state(), placed)
    assert float(means.loss) == pytest.approx(float(wanted.loss), rel=1e-5)
    assert float(norm) == pytest.approx(float(wanted_norm), rel=1e-4)
    with pytest.raises(InputError, match="was compiled for other devices than these, 1 × cpu"):
        load_program(tmp_path / "kept" / "train.program", jax.devices()[:1])


def test_chips_that_are_not_here_are_planned_by_counting(segmenting, capsys):
    shown = plan(capsys, segmenting, "--topology", "h100:2", "--part", "decode", "--prompts", 4)
    assert "decode on h100:2, 2 chips" in shown
    assert "from counts: without a GPU, nothing compiles for one" in shown
    rate = float(re.search(r"at most ([\d,.]+) prompts/s", shown)[1].replace(",", ""))
    flops = float(row(shown, "arithmetic").split()[0])
    assert flops > 0
    assert rate > 1e4
    assert "https://www.nvidia.com" in shown


@pytest.mark.slow
def test_encoding_is_compiled_for_one_chip_and_done_by_all(segmenting, capsys):
    shown = plan(capsys, segmenting, "--topology", "cpu:4", "--part", "encode", "--images", 2)
    assert "each chip, while all do 8 images:" in shown
    # 64 by 64 pixels are 4 by 4 patches of width 32, in two blocks; attention within windows and among all.
    layers = 2 * 16 * 12 * 32**2
    scores = 2 * (4 * 4**2 + 16**2) * 32
    others = 16 * (768 * 32 + 32**2 + 9 * 32**2)
    flops = 2 * 2 * (layers + scores + others)
    counted = float(row(shown, "arithmetic").removesuffix(" MFLOP"))
    assert flops < 1e6 * counted < 1.1 * flops  # and relative positions


def test_search(painting, capsys, monkeypatch):
    compiled = Compiled(3.0, {"arguments": 5e6}, None, 1e6, 0)
    monkeypatch.setattr(planning, "compile_program", lambda *_: compiled)
    shown = plan(capsys, painting, "--topology", "cpu:1", "--batch-size", 2, "--search")
    tried, chosen = shown.split("\n\n")[:2]
    assert tried.splitlines() == [
        "replicated, no remat, micro_batches 1: fits",
        "replicated, remat, micro_batches 1: fits",
    ]
    assert (
        chosen == "train on cpu:1, 1 chip: 2 images a step, 2 on each chip, parameters replicated"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--topology", "v9:1"], "no chip 'v9' is known"),
        (["--topology", "cpu:3"], "batch_size 4 cannot be divided over 3 devices"),
        (["--topology", "cpu:4096"], "JAX shows 8 devices here"),
        (["--topology", "h100:2", "--search"], "--search compiles, which needs TPUs"),
        (["--topology", "h100:2", "--keep", "kept"], "--keep compiles, which needs TPUs"),
        (["--topology", "cpu:1", "--part", "encode"], "encode needs a config of Segment Anything"),
        (["--topology", "cpu:1", "--micro-batches", "0"], "micro_batches is at least 1"),
        (["--topology", "cpu:1", "--images", "0"], "images is at least 1, not 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_planned(painting, complaint, options, message):
    assert message in complaint("plan", painting, *options)


def test_without_a_compiler_one_line_says_what_to_install(segmenting, capsys, monkeypatch):
    monkeypatch.setattr(compilation, "COMPILER", "no_such_compiler")
    shown = plan(capsys, segmenting, "--topology", "v5e:1x1", "--part", "decode", "--prompts", 4)
    line = "not compiled, so from counts: pip install 'sam-jax[plan]' brings the compiler for TPUs"
    assert shown.splitlines().count(line) == 1


@pytest.mark.parametrize(
    ("message", "shortage"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for "
            "HLO temporaries (42.02G) exceeds available HBM (15.75G). HLO module: jit_step.",
            Shortage(42.02 * 2**30, 15.75 * 2**30),
        ),
        (
            "Ran out of memory in memory space hbm. Used 22.81G of 15.75G hbm. Exceeded hbm capacity by 7.06G.",
            Shortage(22.81 * 2**30, 15.75 * 2**30),
        ),
        ("INTERNAL: Mosaic failed to compile TPU kernel", None),
    ],
)
def test_a_refusal_for_lack_of_memory_is_an_answer(message, shortage):
    assert read_shortage(message) == shortage


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="the compiler for TPUs is not a part of tests",
)
def test_the_compiler_for_tpus(segmenting, capsys):
    shown = plan(capsys, segmenting, "--topology", "v5e:1x1", "--part", "decode", "--prompts", 4)
    assert "of 16.00 GiB: fits" in shown
    assert "prompts/s" in shown
