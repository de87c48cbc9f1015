import math
from dataclasses import replace

import pytest

from sam_jax.checkpoints.conversion import official_shapes
from sam_jax.checkpoints.recognition import VARIANTS, candidates, name_variant
from sam_jax.models import AutomaticThresholds
from sam_jax.types import InputError


@pytest.mark.parametrize(
    ("name", "image_size"),
    [
        ("vit_b", (1024, 1024)),
        ("vit_l", (1024, 1024)),
        ("vit_h", (1024, 1024)),
        ("tiny", (512, 768)),
    ],
)
def test_recognises_the_named_variants(name, image_size):
    plain = replace(VARIANTS[name], fine=None, automatic=AutomaticThresholds())
    config = plain.with_image_size(image_size)
    recognised = candidates(official_shapes(config))[0]
    assert recognised == config
    assert name_variant(recognised) == ("tiny without additions" if name == "tiny" else name)
    assert name_variant(VARIANTS[name].with_image_size(image_size)) == name


@pytest.mark.parametrize(
    "encoder",
    [
        {},
        {"image_size": (64, 160)},
        {"image_size": (64, 96)},  # as high as a window
        {"image_size": (32, 32)},  # smaller than a window
        {"global_blocks": ()},
        {"global_blocks": (0, 1, 2, 3, 4), "image_size": (64, 96), "window_size": 6},
        {"width": 56, "num_heads": 7, "mlp_ratio": math.nextafter(61 / 56, 2)},
        {"width": 48, "num_heads": 2, "depth": 7, "mlp_ratio": 2.5, "window_size": 3},
    ],
)
def test_recognises_any_numbers(small, encoder):
    config = small(**encoder)
    assert candidates(official_shapes(config))[0] == config


def test_window_as_large_as_the_grid(small):
    """The tables look alike, the arithmetic is the same, and the global blocks are where the paper has them."""
    config = small(image_size=(64, 64), depth=8, global_blocks=(1, 3, 5, 7))
    assert candidates(official_shapes(config))[0] == config
    vit_b = VARIANTS["vit_b"].with_image_size((224, 224))
    assert candidates(official_shapes(vit_b))[0] == vit_b


def test_models_without_a_name(small):
    assert name_variant(small()) == "SAM of width 24 and depth 5"
    other = replace(
        VARIANTS["vit_b"], mask_decoder=replace(VARIANTS["vit_b"].mask_decoder, depth=3)
    )
    assert name_variant(other) == "SAM of width 768 and depth 12"


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(
    "lost",
    ["image_encoder.pos_embed", "mask_decoder.iou_token.weight", "image_encoder.neck.0.weight"],
)
def test_without_a_telling_tensor_the_nearest_name_remains(name, lost):
    config = replace(VARIANTS[name], fine=None)
    shapes = official_shapes(config)
    del shapes[lost]
    assert candidates(shapes) == [config]


@pytest.mark.parametrize("axis", "hw")
@pytest.mark.parametrize("block", [0, 1])
def test_without_a_relative_table(small, block, axis):
    """Not even one of the two tables of a block shows which kind of block it is, but all others do."""
    config = small(image_size=(96, 160), global_blocks=(4,))
    shapes = official_shapes(config)
    del shapes[f"image_encoder.blocks.{block}.attn.rel_pos_{axis}"]
    assert candidates(shapes)[0] == config


@pytest.mark.parametrize("image_size", [(512, 500), (8, 512), (0, 512)])
def test_image_sizes_are_multiples_of_the_patch(image_size):
    with pytest.raises(InputError, match=r"multiples of the patch size, 16|, not "):
        VARIANTS["vit_b"].with_image_size(image_size)


def test_a_variant_without_its_last_block_is_that_variant():
    shapes = official_shapes(VARIANTS["vit_b"])
    cut = {key: shape for key, shape in shapes.items() if ".blocks.11." not in key}
    assert candidates(cut)[0] == VARIANTS["vit_b"]
