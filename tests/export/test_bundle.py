"""The committed page is what its sources make; how npm is found and run is the same for all pages."""

from sam_jax.export.web_page import PROGRAM
from tests.data_engine.test_bundle import run_npm  # noqa: F401  (a fixture)


def test_the_committed_page_is_what_the_sources_make(run_npm, tmp_path):  # noqa: F811
    done = run_npm("build:page", WEB_OUTPUT=str(tmp_path / "page"))
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()}
    committed = {path.name: path.read_bytes() for path in PROGRAM.iterdir()}
    assert {"index.html", "index.js", "index.css", "worker.js"} == set(made)
    assert made.keys() == committed.keys()
    differing = [name for name in made if made[name] != committed[name]]
    assert not differing, "built from other sources: make web, and commit what it makes"
