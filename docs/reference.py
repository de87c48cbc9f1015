"""MkDocs hook: the pages that are made from the package, so that they cannot go out of date.

One page for each public module and package, an index of all public names, the help of every sub-command, the model
cards and the changelog.
"""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from sam_jax.cli.main import main

ROOT = Path(__file__).parents[1]
PACKAGE = "sam_jax"
API = "API"
HELP_WIDTH = 90
"""Characters of a line of help, whatever terminal the documentation is built in."""
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("predict",),
    ("generate",),
    ("annotate",),
    ("engine", "train"),
    ("engine", "use"),
    ("engine", "status"),
    ("engine", "detect"),
    ("engine", "prefill"),
    ("engine", "generate"),
    ("engine", "check"),
    ("train",),
    ("train", "debug"),
    ("finetune",),
    ("plan",),
    ("evaluate", "points"),
    ("evaluate", "edges"),
    ("evaluate", "proposals"),
    ("evaluate", "instances"),
    ("dataset",),
    ("convert",),
    ("export",),
    ("download",),
    ("info",),
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the modules into the navigation, in place of the one entry that stands for them."""
    entries: list[Any] = config.nav or []
    for entry in entries:
        if API in entry:
            entry[API] = ["api/index.md", *_list_pages(_load_package())]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that are written by hand."""
    package = _load_package()
    pages = {_page(module): _write_module(module) for module in _public_modules(package)}
    pages["api/index.md"] = _write_index(package)
    pages["command_line.md"] = _write_commands()
    pages["model_card.md"] = _link_to_repository(
        f"{PACKAGE}/weights/MODEL_CARD.md", config.repo_url
    )
    pages["clip_card.md"] = _link_to_repository(
        f"{PACKAGE}/weights/drawings/MODEL_CARD.md", config.repo_url
    )
    pages["changelog.md"] = _link_to_repository("CHANGELOG.md", config.repo_url)
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def _load_package() -> griffe.Module:
    package = griffe.load(PACKAGE, search_paths=[ROOT], docstring_parser="google")
    assert isinstance(package, griffe.Module)
    return package


def _public_modules(module: griffe.Module) -> Iterator[griffe.Module]:
    yield module
    for child in _children(module):
        yield from _public_modules(child)


def _children(module: griffe.Module) -> list[griffe.Module]:
    return [
        child
        for name, child in sorted(module.modules.items())
        if not name.startswith("_") and not child.is_alias
    ]


def _is_package(module: griffe.Module) -> bool:
    return module.is_package or module.is_subpackage


def _page(module: griffe.Module) -> str:
    name = "index.md" if _is_package(module) else ""
    folder = "api/" + module.path.replace(".", "/")
    return f"{folder}/{name}" if name else f"{folder}.md"


def _list_pages(module: griffe.Module) -> list[Any]:
    """The entries of the navigation for a package: its own page, then those of its modules."""
    return [
        _page(module),
        *(
            {child.name: _list_pages(child) if _is_package(child) else _page(child)}
            for child in _children(module)
        ),
    ]


def _write_module(module: griffe.Module) -> str:
    """A page on which mkdocstrings renders what the module defines, and that lists what a package passes on."""
    rendered = f"::: {module.path}\n"
    if _is_package(module):
        rendered += "    options: {members: false}\n" if not _own_names(module) else ""
        rendered += "\n" + _tabulate("Names", _exported(module))
        rendered += _tabulate("Modules", [(child.name, child) for child in _children(module)])
    return f"---\ntitle: {module.path}\n---\n\n{rendered}"


def _own_names(module: griffe.Module) -> list[str]:
    return [
        name
        for name, member in module.members.items()
        if not member.is_alias and not member.is_module and not name.startswith("_")
    ]


def _exported(module: griffe.Module) -> list[tuple[str, griffe.Object]]:
    """What `__all__` of a package names, with where it is defined."""
    found = []
    for name in module.exports or []:
        member = module.members[str(name)]
        target = member.final_target if isinstance(member, griffe.Alias) else member
        if not target.is_module:
            found.append((str(name), target))
    return found


def _tabulate(title: str, names: list[tuple[str, griffe.Object]]) -> str:
    if not names:
        return ""
    rows = [f"| [`{name}`][{target.path}] | {_first_sentence(target)} |" for name, target in names]
    return "\n".join([f"## {title}", "", "| name | what it is |", "|---|---|", *rows, "", ""])


def _first_sentence(target: griffe.Object) -> str:
    if target.docstring is None:
        return ""
    return target.docstring.value.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def _write_index(package: griffe.Module) -> str:
    """Every public module with what it is about; the names of a module are on its page."""
    lines = ["# API", "", "Every public module, in the order of the folders.", ""]
    for module in _public_modules(package):
        indent = "    " * module.path.count(".")
        lines.append(f"{indent}- [`{module.path}`][{module.path}]: {_first_sentence(module)}")
    return "\n".join([*lines, ""])


def _write_commands() -> str:
    os.environ["COLUMNS"] = str(HELP_WIDTH)
    parts = ["# Command line", "", "What `sam-jax COMMAND --help` says."]
    for command in COMMANDS:
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            main([*command, "--help"])
        lines = [line.rstrip() for line in text.getvalue().strip().splitlines()]
        parts += ["", f"## {' '.join(command)}", "", "```text", *lines, "```"]
    return "\n".join([*parts, ""])


def _link_to_repository(path: str, repository: str | None) -> str:
    """A page from a file outside of docs, whose relative links lead to the repository."""
    folder = Path(path).parent

    def lead(match: re.Match[str]) -> str:
        target = (ROOT / folder / match["target"]).resolve().relative_to(ROOT)
        return f"]({repository}/blob/main/{target})"

    return re.sub(
        r"\]\((?!https?:|#)(?P<target>[^)\s]+)\)", lead, (ROOT / path).read_text(encoding="utf-8")
    )
