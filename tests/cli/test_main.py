import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sam_jax
from sam_jax.cli.main import EXTRAS, main
from sam_jax.cli.predict import Predict
from sam_jax.data.drawn import DrawnSource
from sam_jax.evaluation.mask_overlap import mask_iou
from tests.data.conftest import paint_masks, write_sa1b_record


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_process_complains_in_one_line_and_exits_with_2(tmp_path):
    ended = run(
        sys.executable, "-m", "sam_jax", "predict", str(tmp_path / "none.png"), "--point", "1,2"
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == f"error: no such file: {tmp_path / 'none.png'}\n"


def test_a_process_predicts_and_keeps_its_compiled_programs(photo, weights, cache, tmp_path):
    ended = run(
        *(sys.executable, "-m", "sam_jax", "predict", str(photo), "--box", "10,5,50,35"),
        *("--checkpoint", str(weights), "--output", str(tmp_path)),
    )
    assert ended.returncode == 0
    assert ended.stderr == f"loading the weights, {weights}\nfinding bay.png's masks\n"
    assert sorted(os.listdir(tmp_path)) == ["bay.json", "bay_mask_0.png", "bay_overlay.png"]
    programs = " ".join(os.listdir(cache))
    assert "embed_images" in programs
    assert "predict_masks" in programs


@pytest.mark.slow
def test_text_about_a_drawing_needs_no_download(tmp_path):
    drawing = DrawnSource(seed=3)[0]
    Image.fromarray(drawing.image).save(tmp_path / "drawing.png")
    ended = run(
        *(sys.executable, "-m", "sam_jax", "predict", str(tmp_path / "drawing.png")),
        *("--text", "red circle", "--text", "yellow star", "--output", str(tmp_path / "masks")),
    )
    assert ended.returncode == 0, ended.stderr
    assert "by the weights `drawings`, which come with sam-jax" in ended.stderr
    assert "nothing found that fits 'yellow star'" in ended.stdout
    assert "drawing_mask_1.png" not in os.listdir(tmp_path / "masks")
    with Image.open(tmp_path / "masks" / "drawing_mask_0.png") as picture:
        mask = np.asarray(picture) > 0
    overlaps = [mask_iou(mask, drawing.masks[index]) for index in range(len(drawing.masks))]
    found = drawing.objects[int(np.argmax(overlaps))]
    assert (found.colour, found.shape) == ("red", "circle")
    assert max(overlaps) > 0.8


def test_the_module_is_the_same_program_as_the_script():
    by_module = run(sys.executable, "-m", "sam_jax", "--help")
    assert by_module.returncode == 0
    assert by_module.stdout.startswith("usage: sam-jax [-h] {predict,")
    script = Path(sys.executable).with_name("sam-jax")
    if not script.exists():
        pytest.skip("sam-jax is imported from its folder, not installed")
    assert run(str(script), "--help").stdout == by_module.stdout


@pytest.mark.parametrize(
    "arguments",
    [[], ["segment"], ["predict"], ["predict", "a.png", "--bogus"], ["download", "vit_x"]],
    ids=" ".join,
)
def test_unknown_commands_and_options_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "sam-jax" in shown.err


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Predict, "run", interrupt)
    assert main(["predict", "a.png"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_other_errors_are_not_hidden(monkeypatch):
    def fail(self):
        raise ZeroDivisionError

    monkeypatch.setattr(Predict, "run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["predict", "a.png"])


WITHOUT = """
import sys
from sam_jax.cli.main import main

for package in sys.argv[2:]:
    sys.modules[package] = None
for arguments in (
    ["train", "debug"],
    ["finetune", "photos", "--checkpoint", "c.pth", "--output", "run"],
    ["dataset", "build", sys.argv[1], "--output", "out"],
    ["evaluate", "points", f"some={sys.argv[1]}", "--output", "out", "--methods", "disc"],
    ["annotate", sys.argv[1]],
):
    print(main(arguments))
"""


def test_without_a_package_one_line_says_what_to_install(tmp_path):
    write_sa1b_record(tmp_path, "sa_0", 0, paint_masks(0, 1))
    ended = run(sys.executable, "-c", WITHOUT, str(tmp_path), *sorted(EXTRAS))
    codes = [line for line in ended.stdout.splitlines() if line.isdigit()]
    assert codes == ["2"] * 5
    lines = [line for line in ended.stderr.splitlines() if line.startswith("error")]
    assert len(lines) == 5
    for line, extra in zip(lines, ["train"] * 3 + ["evaluate", "engine"], strict=True):
        wanted = rf"error: \w+ is not installed: pip install 'sam-jax\[{extra}\]'"
        assert re.fullmatch(wanted, line)


@pytest.mark.parametrize("extra", ["train", "evaluate", "engine", "cluster"])
def test_the_packages_are_those_of_the_extra(extra):
    project = Path(sam_jax.__file__).parents[1] / "pyproject.toml"
    extras = tomllib.loads(project.read_text())["project"]["optional-dependencies"]
    wanted = {re.split(r"[<>=\[]", requirement)[0].lower() for requirement in extras[extra]}
    wanted -= {"sam-jax"}  # an extra that has another one, too
    modules = importlib.metadata.packages_distributions()
    found = {name.lower().replace("_", "-") for package in EXTRAS for name in modules[package]}
    assert wanted <= found
    assert {package for package, of in EXTRAS.items() if of == extra} <= set(modules)
