"""Configs and run folders that something is wrong with; whole runs are in tests/training."""

import json

import pytest

from sam_jax.cli.main import main
from sam_jax.cli.run_configs import find_run_config, list_run_configs
from sam_jax.configs import debug

CONFIG = """
import dataclasses
from sam_jax.training.config import DataConfig, Synthetic
from tests.training.conftest import CONFIG

config = CONFIG
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["--data.sources.0.weight", "-1"], "every source has a weight above 0"),
        (["--steps", "2"], "a run of 2 steps ends within warmup_steps 2"),
        (["--execution.micro-batches", "3"], "batch_size 16 cannot be divided into micro_batches 3"),
        (["--data.batch-size", "4"], "batch_size 4 cannot be divided over 8 devices; take a multiple of 8"),
        (["--cache-embeddings"], 'cache_embeddings needs a frozen encoder: frozen=("image_encoder/*",)'),
        (["--frozen", "image_encodr/*"], "no parameter fits 'image_encodr/*'; did you mean image_encoder/*?"),
        (["--frozen", "*"], "'*' leave no parameter to train"),
        (["--start-from", "none.pth"], "no such file: none.pth"),
        (["--program", "none.program"], "none.program: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_settings_that_cannot_be(config, tmp_path, complaint, settings, message):
    complained = complaint("train", config, *settings, "--output", tmp_path / "run")
    assert message in complained


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "config.py, line 1: division by zero"),
        (
            "\nimport nothing_of_this_name",
            "config.py, line 2: No module named 'nothing_of_this_name'",
        ),
        ("config = (", "config.py: '(' was never closed"),
        ("", "config.py defines no `config`"),
        ("config = 3", "config.py defines no `config`"),
        (CONFIG + "dataclasses.replace(config, stepz=3)", "unexpected keyword argument 'stepz'"),
        (
            CONFIG + "dataclasses.replace(config, drop_path=2.0)",
            "config.py, line 7: drop_path is from 0 to below 1, not 2.0",
        ),
    ],
)
def test_a_file_that_fails(tmp_path, complaint, text, message):
    path = tmp_path / "config.py"
    path.write_text(text)
    assert message in complaint("train", path, "--output", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_config_is_found_by_its_name_or_file(tmp_path):
    found = find_run_config("debug")
    assert (found.name, found.config) == ("debug", debug.config)
    assert found.description == debug.__doc__
    path = tmp_path / "mine.py"
    path.write_text(f'"""My run."""\n{CONFIG}config = dataclasses.replace(config, steps=7)')
    found = find_run_config(str(path))
    assert (found.name, found.description, found.config.steps) == ("mine", "My run.", 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tini"], "no config tini: after `train` comes a Python file or the name of a config; did you mean tiny?"),
        (["zzz"], "no config zzz: after `train` comes a Python file or the name of a config; there are debug, finet"),
        (["--output", "run", "debug"], "no config --output: after `train` comes a Python file or the name of"),
        (["none.py"], "no such file: none.py"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_config_that_is_not_there(complaint, arguments, message):
    assert message in complaint("train", *arguments)


def test_help_names_the_configs(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"or {', '.join(list_run_configs())}." in shown


def test_data_that_is_not_there(tmp_path, complaint):
    path = tmp_path / "config.py"
    sources = "sources=(Stored(path='nowhere'),)"
    path.write_text(
        CONFIG.replace("Synthetic", "Stored")
        + f"config = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, {sources}))"
    )
    complained = complaint("train", path, "--output", tmp_path / "run")
    assert "no such file or folder: nowhere" in complained


@pytest.mark.slow
def test_a_run_folder_goes_on_and_says_what_is_wrong_with_it(config, tmp_path, capsys, complaint):
    folder = tmp_path / "run"
    start = ["train", str(config), "--output", str(folder), "--max-seconds", "0"]
    assert main(start) == 0
    shown = capsys.readouterr()
    assert shown.out == f"out of time: saved in {folder}; the same command goes on from there\n"
    assert "going on" not in shown.err
    weights = (folder / "weights.safetensors").read_bytes()

    (folder / "states" / "7").mkdir()
    (folder / "metrics.jsonl").write_text('{"step": 3, "loss": 2.5}\n{"step": 4, "lo')
    assert main([*start, "--reporting.metrics-every", "1"]) == 0
    shown = capsys.readouterr()
    assert "training state 7 was never finished: it is removed" in shown.err
    assert f"going on from step 0 in {folder}" in shown.err
    assert [path.name for path in (folder / "states").iterdir()] == ["0"]
    assert (folder / "metrics.jsonl").read_text() == ""
    assert (folder / "weights.safetensors").read_bytes() == weights
    assert json.loads((folder / "config.json").read_text())["reporting"]["metrics_every"] == 1

    complained = complaint(*start, "--seed", "1")
    assert (
        f"the training state of step 0 in {folder / 'states'} is of a run with other settings: "
        in complained
    )
    assert "seed was 0 and is now 1. Go back to those, or start in another folder" in complained


def test_a_file_in_the_way(config, tmp_path, complaint):
    (tmp_path / "run").touch()
    assert f"--output {tmp_path / 'run'} is a file; name a folder" in complaint(
        "train", config, "--output", tmp_path / "run"
    )
