"""The documentation builds without a warning, and every public name has its place in it."""

import ast
import sys
import zlib

import pytest

from tests.docs.blocks import ROOT

pytestmark = pytest.mark.slow

PACKAGE = ROOT / "sam_jax"


def module_of(path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names_in(body, prefix):
    """Public names that some statements define, and those within their classes."""
    for node in body:
        match node:
            case ast.ClassDef():
                names, inner = [node.name], node.body
            case ast.FunctionDef():
                names, inner = [node.name], []
            case ast.AnnAssign(target=ast.Name(id=name)):
                names, inner = [name], []
            case ast.Assign():
                targets = [part for target in node.targets for part in ast.walk(target)]
                names, inner = [part.id for part in targets if isinstance(part, ast.Name)], []
            case _:
                continue
        for name in names:
            if not name.startswith("_"):
                yield f"{prefix}.{name}"
                yield from names_in(inner, f"{prefix}.{name}")


def public_names() -> set[str]:
    """Public modules of the package and all public names that they define."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        module = module_of(path)
        if not any(part.startswith("_") for part in module.split(".")):
            names.add(module)
            names |= set(names_in(ast.parse(path.read_text(encoding="utf-8")).body, module))
    return names


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation, built as `make docs` builds it, but without copies of the source code and the search index."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(sys, "dont_write_bytecode", True)
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder))
        config.plugins["mkdocstrings"].config.handlers["python"]["options"]["show_source"] = False
        del config.plugins["material/search"]
        config.plugins.run_event("startup", command="build", dirty=False)
        build(config)  # strict: a warning is an error
    return folder


def read_inventory(site) -> set[str]:
    """What mkdocstrings made an entry for, in the form of Sphinx' inventories."""
    lines = (site / "objects.inv").read_bytes().split(b"\n", 4)
    entries = zlib.decompress(lines[4]).decode().splitlines()
    return {entry.split(" ", 1)[0] for entry in entries}


def test_every_public_name_has_a_page(site):
    names = public_names()
    assert "sam_jax.inference.predictor.SamPredictor.set_image" in names
    assert len(names) > 1000
    missing = sorted(names - read_inventory(site))
    assert missing == [], f"{len(missing)} of {len(names)} public names have no page"


def test_pages_ask_the_network_for_nothing(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 100
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for loaded in ('src="http', 'rel="stylesheet" href="http', "@import"):
            assert loaded not in text, page
