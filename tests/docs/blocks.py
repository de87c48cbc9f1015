"""Code blocks of Markdown pages, with what comments before them say about running them.

An HTML comment right before a block is not seen by readers and says what a test does otherwise than a reader:

    <!-- replace: --steps 1000 -> --steps 2; --images 40 -> --images 1 -->   shortens what takes long
    <!-- check: needs a pod of accelerators -->                              runs nothing, but checks each command
"""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.md"))),
]

_BLOCK = re.compile(
    r"(?:^<!-- (?P<verb>replace|check): (?P<note>[^\n]+) -->\n)?"
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
READ_ONLY = ("bibtex", "text")
"""Languages of blocks that are for reading."""


class Block(NamedTuple):
    """A code block.

    Attributes:
        page: Path of the page, relative to the repository.
        line: Line of the page on which the code starts.
        language: Language of the code, as the fence names it.
        title: File that the code is the content of; None for code that is run as it stands.
        text: The code as the page shows it.
        replacements: What the test replaces in the code, so that it ends soon.
        reason: Why the commands are only checked; None for code that is run.
    """

    page: str
    line: int
    language: str
    title: str | None
    text: str
    replacements: tuple[tuple[str, str], ...]
    reason: str | None

    @property
    def runnable(self) -> str:
        """The code with its replacements."""
        text = self.text
        for old, new in self.replacements:
            assert old in text, f"{self.page}, line {self.line}: no {old!r} to replace"
            text = text.replace(old, new)
        return text


def read_blocks(page: Path) -> list[Block]:
    """The blocks of a page that somebody could run, in their order."""
    content = page.read_text(encoding="utf-8")
    blocks = []
    for match in _BLOCK.finditer(content):
        if match["language"] in READ_ONLY:
            continue
        replacements = []
        if match["verb"] == "replace":
            replacements = [tuple(one.strip().split(" -> ")) for one in match["note"].split(";")]
        blocks.append(
            Block(
                page=str(page.relative_to(ROOT)),
                line=content.count("\n", 0, match.start("text")) + 1,
                language=match["language"],
                title=match["title"],
                text=match["text"],
                replacements=tuple(replacements),
                reason=match["note"] if match["verb"] == "check" else None,
            )
        )
    return blocks


def split_commands(text: str) -> list[list[str]]:
    """The commands of a shell block as lists of words, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    return [command for command in commands if command]
