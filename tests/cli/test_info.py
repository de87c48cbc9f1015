import jax

from sam_jax.cli.main import main
from sam_jax.models import abstract_variables

from .conftest import MINIATURE


def test_describes_a_checkpoint(weights, capsys):
    assert main(["info", str(weights)]) == 0
    shown = capsys.readouterr().out
    total = sum(leaf.size for leaf in jax.tree.leaves(abstract_variables(MINIATURE)["params"]))
    for text in (f"{total:,} parameters", "64 x 64 pixels", "image encoder"):
        assert text in shown


def test_describes_the_installation(cache, capsys):
    assert main(["info"]) == 0
    shown = capsys.readouterr().out.replace("\n", "").replace(" ", "")
    for text in (jax.__version__, jax.devices()[0].platform, str(cache)):
        assert text in shown


def test_bad_checkpoint_is_refused(complaint, tmp_path):
    assert "no such file" in complaint("info", tmp_path / "none.pth")
