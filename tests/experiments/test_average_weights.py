from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.average_weights import Options, main
from sam_jax.checkpoints import load_checkpoint, save_checkpoint
from sam_jax.models import TINY, init_variables

OFFICIAL = replace(TINY, fine=None)
CONFIG = replace(
    OFFICIAL,
    image_encoder=replace(
        OFFICIAL.image_encoder,
        image_size=(32, 48),
        width=24,
        depth=2,
        num_heads=2,
        global_blocks=(1,),
    ),
)


def test_the_mean_of_two_files(tmp_path):
    one, other = (init_variables(CONFIG, seed) for seed in (1, 2))
    save_checkpoint(tmp_path / "one.safetensors", CONFIG, one)
    save_checkpoint(tmp_path / "other.pth", CONFIG, other)
    output = tmp_path / "mean.safetensors"
    main(Options(one=tmp_path / "one.safetensors", other=tmp_path / "other.pth", output=output))
    config, mean = load_checkpoint(output)
    assert config == CONFIG
    jax.tree.map(
        lambda a, b, c: np.testing.assert_allclose(c, (np.asarray(a) + b) / 2, atol=1e-7),
        one,
        other,
        mean,
    )


def test_other_models_and_other_endings(tmp_path):
    sizes = {"one": (32, 48), "wide": (32, 64)}
    for name, size in sizes.items():
        config = replace(CONFIG, image_encoder=replace(CONFIG.image_encoder, image_size=size))
        variables = init_variables(config)
        save_checkpoint(tmp_path / f"{name}.safetensors", config, variables)
    one, wide = (tmp_path / f"{name}.safetensors" for name in sizes)
    with pytest.raises(SystemExit, match=r"one\.safetensors and .*wide.* are of different models"):
        main(Options(one=one, other=wide, output=tmp_path / "mean.safetensors"))
    with pytest.raises(SystemExit, match=r"cannot tell the format of .*mean\.xyz"):
        main(Options(one=one, other=one, output=tmp_path / "mean.xyz"))
