import json

import numpy as np
import pytest
from PIL import Image

from sam_jax.cli.main import main
from sam_jax.data.sources import open_source
from sam_jax.ops.rle import encode_rle


@pytest.fixture
def folder(tmp_path):
    """Two whole records, one without json, and one whose mask has another size."""
    folder = tmp_path / "photos"
    folder.mkdir()
    mask = np.zeros((20, 30), bool)
    mask[4:12, 6:20] = True
    for i, drawn in enumerate([mask, mask, mask, mask.T]):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"sa_{i}.jpg")
        document = {"annotations": [{"segmentation": encode_rle(drawn, compress=True)}]}
        (folder / f"sa_{i}.json").write_text(json.dumps(document))
    (folder / "sa_2.json").unlink()
    return folder


def test_builds_and_names_what_is_left_out(folder, tmp_path, capsys):
    assert main(["dataset", "build", str(folder), "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0] == f"wrote {tmp_path / 'out' / 'segment_anything' / '1.0.0'}: 2 photos"
    assert lines[1] == "skipped 2 photos:"
    assert "sa_2.jpg: no sa_2.json beside it" in lines[2]
    assert "sa_3.json: a mask is 20 wide and 30 high" in lines[3]
    assert len(lines) == 4
    assert shown.err == f"reading the photos of {folder}\n"
    source = open_source(tmp_path / "out")
    assert len(source) == 2
    assert source[0].masks[0].sum() == 8 * 14


def test_says_so_when_it_cannot(folder, tmp_path, complaint):
    out = tmp_path / "out"
    assert "no such folder" in complaint("dataset", "build", tmp_path / "none", "--output", out)
    (tmp_path / "file").touch()
    assert "Not a directory" in complaint(
        "dataset", "build", folder, "--output", tmp_path / "file" / "out"
    )
    assert main(["dataset", "build", str(folder), "--output", str(out)]) == 0
    assert "is already there" in complaint("dataset", "build", folder, "--output", out)


def test_build_is_the_only_action(folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["dataset", "make", str(folder), "--output", str(tmp_path / "out")])
    assert "build" in capsys.readouterr().err
