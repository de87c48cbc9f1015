"""Settings of a training run that are replaced on the command line."""

import dataclasses

import pytest

from sam_jax.cli.run_configs import RunConfig
from sam_jax.cli.run_options import read_run_options
from sam_jax.data.pasting import Pasting
from sam_jax.models import Compute, default_compute
from sam_jax.training.config import (
    DataConfig,
    Execution,
    Stored,
    Synthetic,
)
from sam_jax.training.config_differences import describe_config, find_differences
from sam_jax.types import InputError
from tests.training.conftest import CONFIG

TWO_SOURCES = dataclasses.replace(
    CONFIG,
    data=DataConfig(
        sources=(Synthetic(size=(64, 96)), Stored(path="photos", pasting=Pasting(path="things"))),
        batch_size=16,
        masks_per_image=2,
    ),
    execution=Execution(compute=Compute(prompts_at_once=4)),
)


def read(*arguments, config=TWO_SOURCES):
    return read_run_options(RunConfig("small", "A small run.", config), arguments)


def changes(*arguments):
    """What the arguments change, among the settings on which the result depends."""
    settings = read(*arguments).settings
    return find_differences(describe_config(TWO_SOURCES), describe_config(settings))


def test_without_arguments_the_config_stays_as_it_is(tmp_path):
    options = read()
    assert options.settings == TWO_SOURCES
    assert str(options.output) == "runs/small"
    assert options.max_seconds is None
    assert not options.multi_host


def test_options_that_are_no_settings(tmp_path):
    options = read("--output", str(tmp_path), "--max-seconds", "2.5", "--multi-host")
    assert options.output == tmp_path
    assert options.max_seconds == 2.5
    assert options.multi_host
    assert options.settings == TWO_SOURCES


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("--steps 30", "steps was 20 and is now 30"),
        ("--steps=30", "steps was 20 and is now 30"),
        ("--optimiser.rate 1e-4", "optimiser.rate was 0.001 and is now 0.0001"),
        ("--optimiser.clip-norm None", "optimiser.clip_norm was 1.0 and is now None"),
        ("--optimiser.decay.last-share 0.5", "optimiser.decay.last_share was 0.0 and is now 0.5"),
        ("--data.batch-size 8", "data.batch_size was 16 and is now 8"),
        ("--data.batch_size 8", "data.batch_size was 16 and is now 8"),
        ("--data.sources.0.weight 2", "data.sources.0.weight was 1.0 and is now 2.0"),
        ("--data.sources.0.size 48 80", "data.sources.0.size was [64, 96] and is now [48, 80]"),
        ("--data.sources.1.path nuclei", "data.sources.1.path was photos and is now nuclei"),
        ("--data.sources.1.pasting.turn 5", "data.sources.1.pasting.turn was 0.0 and is now 5.0"),
        ("--frozen a/* b/*", "frozen was [] and is now ['a/*', 'b/*']"),
        ("--start-from w.pth", "start_from was None and is now w.pth"),
        (
            "--optimiser.rate-factors a/* 2 b/* 0.5",
            "optimiser.rate_factors was [] and is now [['a/*', 2.0], ['b/*', 0.5]]",
        ),
        (
            "--model.image-encoder.image-size 64 96",
            "model.image_encoder.image_size was [32, 48] and is now [64, 96]",
        ),
    ],
)
def test_a_setting_is_replaced(arguments, wanted):
    assert changes(*arguments.split()) == [wanted]


def test_how_the_run_is_computed_and_reported():
    settings = read("--execution.data-workers", "2", "--reporting.metrics-every", "1").settings
    assert settings.execution == dataclasses.replace(TWO_SOURCES.execution, data_workers=2)
    assert settings.reporting == dataclasses.replace(TWO_SOURCES.reporting, metrics_every=1)


def test_a_computation_that_is_left_open_is_that_of_the_devices():
    wanted = dataclasses.replace(default_compute(training=True), dtype="bfloat16")
    settings = read("--execution.compute.dtype", "bfloat16", config=CONFIG).settings
    assert settings.execution == Execution(compute=wanted)
    with pytest.raises(InputError, match="dtype is float32 or bfloat16, not 'float16'"):
        read("--execution.compute.dtype", "float16")


def test_switches_go_both_ways():
    frozen = dataclasses.replace(CONFIG, frozen=("image_encoder/*",), cache_embeddings=True)
    assert not read("--no-cache-embeddings", config=frozen).settings.cache_embeddings
    assert read("--cache-embeddings", config=frozen).settings.cache_embeddings


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ("--optimizer.rate 1", ["--optimizer.rate", "--optimiser.rate FLOAT"]),
        ("--optimiser.rat 1", ["--optimiser.rat", "--optimiser.rate FLOAT"]),
        ("--data.sources.3.weight 1", ["--data.sources.3.weight", "--data.sources.0.weight FLOAT"]),
        ("--qqq 1", ["Unrecognized options: --qqq"]),
        ("steps=20", ["Unrecognized options: steps=20"]),
        ("--steps", ["Missing value for argument '--steps'"]),
        ("--steps many", ["Error parsing --steps: invalid literal for int()"]),
        ("--steps 2.5", ["Error parsing --steps: invalid literal for int()"]),
        ("--optimiser.method sgd", ["invalid choice 'sgd'", "'adamw', 'muon'"]),
        ("--data.sources.0.size 48", ["Missing value for argument '--data.sources.0.size'"]),
    ],
)
def test_what_is_no_setting_or_no_value_of_it(capsys, arguments, messages):
    with pytest.raises(SystemExit) as ended:
        read(*arguments.split())
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "sam-jax train small --help" in shown.err
    for message in messages:
        assert message in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--steps 0", "steps is at least 1, not 0"),
        ("--steps 2", "a run of 2 steps ends within warmup_steps 2"),
        ("--data.sources.0.weight -1", "every source has a weight above 0"),
        ("--data.sources.0.augmentation.colour 2", "colour 2: give a number from 0"),
        ("--data.sources.1.hold-back 1", "hold_back is 0, or 2 and more, not 1"),
        ("--execution.micro-batches 3", "batch_size 16 cannot be divided into micro_batches 3"),
        ("--optimiser.rate 0", "rate is above 0, not 0.0"),
    ],
)
def test_settings_that_contradict_themselves_are_one_error(capsys, arguments, message):
    with pytest.raises(InputError, match=message):
        read(*arguments.split())
    assert capsys.readouterr() == ("", "")


def test_help_lists_every_setting_with_its_default(capsys):
    with pytest.raises(SystemExit) as ended:
        read("--help")
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert shown.startswith("usage: sam-jax train small [-h] [OPTIONS] A small run.")
    for option in (
        "--output DIR Folder of the run, for weights, training states, metrics and pictures. (default: runs/small)",
        "--max-seconds S",
        "--multi-host",
        "--steps INT",
        "--optimiser.rate FLOAT",
        "--data.sources.1.path STR",
        "--model.mask-decoder.width INT",
        "--start-from {None}|STR Path of weights to start from, of a whole model or of its image encoder, such as "
        "those of a masked autoencoder; None for random weights. --seed",
    ):
        assert option in shown
    assert "default: None" not in shown
