import pytest

from sam_jax.checkpoints.downloads import CLIP_FILES, OFFICIAL_FILES
from sam_jax.cli.main import main
from sam_jax.types import InputError


def test_prints_where_the_file_is(monkeypatch, tmp_path, capsys):
    def fetch(name, folder):
        return folder / f"{name}.pth"

    monkeypatch.setattr("sam_jax.checkpoints.download", fetch)
    assert main(["download", "vit_b", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'vit_b.pth'}\n"


def test_a_failing_download_is_one_line(monkeypatch, complaint):
    def fetch(name, folder):
        raise InputError("cannot download\nit")

    monkeypatch.setattr("sam_jax.checkpoints.download", fetch)
    assert complaint("download", "vit_l") == "error: cannot download it\n"


@pytest.mark.parametrize("name", [*OFFICIAL_FILES, *CLIP_FILES])
def test_every_official_name_is_offered(name, monkeypatch, capsys):
    monkeypatch.setattr("sam_jax.checkpoints.download", lambda name, folder: (name, folder))
    assert main(["download", name]) == 0
    assert capsys.readouterr().out == f"{(name, None)}\n"
