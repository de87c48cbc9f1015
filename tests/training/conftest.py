import jax
import numpy as np
import pytest

from sam_jax.data.loader import Ingredient, Loader, LoaderConfig
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.models import ImageEncoderConfig, MaskDecoderConfig, PromptEncoderConfig, SamConfig
from sam_jax.training.config import DataConfig, Synthetic, TrainConfig
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.training.rounds import Interaction

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
    data=DataConfig(sources=(Synthetic(size=(64, 96)),), batch_size=16, masks_per_image=2),
    steps=20,
    optimiser=OptimiserConfig(rate=1e-3, warmup_steps=2, decay=CosineDecay()),
    interaction=Interaction(rounds=1, refine_rounds=0),
)


@pytest.fixture(scope="session")
def batch():
    loader = Loader(
        [Ingredient(SyntheticSource(size=(64, 96)))],
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
