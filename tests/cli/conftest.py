import jax
import numpy as np
import pytest
from PIL import Image

from sam_jax.checkpoints import save_checkpoint
from sam_jax.cli.main import main
from sam_jax.models import (
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
    abstract_variables,
)

CACHE_SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)

MINIATURE = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(64, 64),
        width=32,
        depth=2,
        num_heads=2,
        window_size=2,
        global_blocks=(1,),
        out_channels=32,
    ),
    prompt_encoder=PromptEncoderConfig(width=32),
    mask_decoder=MaskDecoderConfig(width=32, mlp_width=64, iou_head_width=32),
)


@pytest.fixture(autouse=True)
def jax_settings():
    """Commands change how JAX keeps compiled programs."""
    before = {name: getattr(jax.config, name) for name in CACHE_SETTINGS}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def cache(tmp_path_factory, monkeypatch):
    """A folder for compiled programs that holds none yet."""
    folder = tmp_path_factory.mktemp("compiled")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A miniature model with random weights in our own format."""
    path = tmp_path_factory.mktemp("weights") / "miniature.safetensors"
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.normal(0, 0.2, leaf.shape).astype(np.float32),
        abstract_variables(MINIATURE),
    )
    save_checkpoint(path, MINIATURE, variables)
    return path


@pytest.fixture(scope="session")
def photo(tmp_path_factory):
    """A photo 60 wide and 40 high."""
    path = tmp_path_factory.mktemp("photos") / "bay.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def devices(monkeypatch):
    """Sets the number of devices: one, until several matter, since each compiles programs of its own."""
    every = jax.local_devices()

    def use(count):
        monkeypatch.setattr(jax, "local_devices", lambda: every[:count])

    use(1)
    return use


@pytest.fixture
def complaint(capsys):
    """Runs `sam-jax` on bad input, or with another cause to fail, and returns its one line of complaint, the last."""

    def run(*arguments, code=2):
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == code
        shown = capsys.readouterr()
        assert shown.out == ""
        *signs_of_life, line = shown.err.splitlines(keepends=True)
        assert line.startswith("error: ")
        assert line.endswith("\n")
        assert len(signs_of_life) <= 3
        assert not any("error" in sign for sign in signs_of_life)
        return line

    return run
