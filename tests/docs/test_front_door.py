"""What README, guides and community files promise, checked without running anything long."""

import re
import tomllib
from importlib.util import find_spec

import pytest

import sam_jax
from sam_jax.cli.commands import read_command
from tests.docs.blocks import PAGES, ROOT, read_blocks, split_commands

BLOCKS = [block for page in PAGES for block in read_blocks(page)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def place(block) -> str:
    return f"{block.page}:{block.line}"


def check_command(words):
    """A command exists, and so do its options."""
    match words:
        case ["sam-jax", *arguments]:
            read_command(arguments)
        case ["python", "-m", module, *_]:
            assert find_spec(module) is not None
        case ["make", target]:
            assert target in TARGETS
        case ["pip", "install", "-e", place]:
            extras = re.search(r"\[(.*)\]", place)
            for extra in extras[1].split(",") if extras else []:
                assert extra in PROJECT["optional-dependencies"]
        case _:
            raise AssertionError(f"nothing is known of {words}")


def test_every_page_of_the_guides_has_blocks():
    pages = {block.page for block in BLOCKS}
    guides = {str(path.relative_to(ROOT)) for path in (ROOT / "docs/guides").glob("*.md")}
    assert len(guides) == 12
    assert guides <= pages
    assert "README.md" in pages


@pytest.mark.parametrize("block", BLOCKS, ids=place)
def test_blocks_are_python_or_commands_that_exist(block):
    assert block.language in ("python", "sh"), "neither run nor for reading only"
    if block.language == "python":
        compile(block.runnable, place(block), "exec")
        return
    for text in {block.text, block.runnable}:
        for words in split_commands(text):
            check_command(words)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_lead_to_files_and_headings(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)(#[^)\s]+)?\)", (ROOT / page).read_text("utf-8"))
    for path, heading in links:
        assert (ROOT / path).exists(), path
        if heading:
            headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text("utf-8"), re.MULTILINE)
            slugs = ["#" + re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]
            assert heading in slugs, heading


def test_readme_links_every_page_of_the_documentation():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT)) for page in PAGES} - {"README.md", "docs/index.md"}
    assert [page for page in sorted(pages) if f"]({page})" not in text] == []


def test_one_version_everywhere():
    version = PROJECT["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert (ROOT / "sam_jax/py.typed").read_text() == ""
    assert sam_jax.__version__
