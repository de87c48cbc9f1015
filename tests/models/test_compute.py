from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from sam_jax.models import TINY, VIT_B, Compute
from sam_jax.models.compute import (
    IN_TRAINING_ON_CPU,
    ON_ACCELERATOR,
    ON_CPU,
    default_compute,
    suit,
)
from sam_jax.types import InputError


def test_a_cpu_decodes_as_many_prompts_together_as_its_cache_holds():
    assert default_compute() == ON_CPU
    of_vit_b = default_compute(bytes_per_prompt=VIT_B.bytes_per_prompt)
    assert VIT_B.bytes_per_prompt == 4 * 64 * 64 * 256
    assert of_vit_b.prompts_at_once == 1
    of_tiny = default_compute(bytes_per_prompt=TINY.bytes_per_prompt)
    assert TINY.bytes_per_prompt == 4 * 32 * 32 * 128
    assert of_tiny == replace(ON_CPU, prompts_at_once=8)


def test_training_on_a_cpu():
    assert default_compute(training=True, bytes_per_prompt=1) == IN_TRAINING_ON_CPU


@pytest.mark.parametrize("training", [True, False])
def test_an_accelerator_takes_many(monkeypatch, training):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert default_compute(training=training, bytes_per_prompt=1 << 30) == ON_ACCELERATOR


@pytest.mark.parametrize(
    ("platform", "capability", "dtype", "expected"),
    [
        ("cpu", None, "bfloat16", "strips"),
        ("gpu", "8.0", "bfloat16", "strips"),
        ("gpu", "9.0", "float32", "strips"),
        ("gpu", "9.0", "bfloat16", "cudnn"),
        ("gpu", "10.0", "bfloat16", "cudnn"),
        ("gpu", "gfx942", "bfloat16", "strips"),
        ("tpu", None, "float32", "strips"),
        ("tpu", None, "bfloat16", "splash"),
    ],
)
def test_attention_suits_the_device(platform, capability, dtype, expected):
    device = SimpleNamespace(platform=platform, compute_capability=capability)
    assert suit(Compute(dtype=dtype), device) == Compute(dtype=dtype, attention=expected)
    chosen = Compute(dtype=dtype, attention="strips")
    assert suit(chosen, device) == chosen


def test_a_cpu_computes_attention_in_strips():
    assert suit(Compute(dtype="bfloat16"), jax.devices()[0]).attention == "strips"


def test_dtype_is_a_name():
    assert Compute(dtype="bfloat16").jax_dtype == jnp.bfloat16
    assert Compute().jax_dtype == jnp.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "float16"}, "dtype is float32 or bfloat16, not 'float16'"),
        ({"rows_at_once": 0}, "rows_at_once is a whole number of at least 1, not 0"),
        ({"prompts_at_once": -1}, "prompts_at_once is a whole number of at least 1, not -1"),
        ({"attention": "flash"}, "attention is strips, cudnn or splash, not 'flash'"),
        ({"attention": "cudnn"}, "attention by cudnn takes dtype bfloat16"),
    ],
)
def test_impossible_computations_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        Compute(**change)
