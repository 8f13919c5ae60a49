"""The blocks of commands in our documents."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.support.repository import ROOT

# A block runs, unless the comment right before it says why it cannot.
_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_RUN = ("sh", "sql")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    # Why the block is not run; empty if it is.
    reason: str


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks_of(document: Path) -> list[Block]:
    """The shell and SQL blocks of a document, in order."""
    return [
        Block(found["language"], textwrap.dedent(found["text"]), found["reason"] or "")
        for found in _BLOCK.finditer(document.read_text())
        if found["language"] in _RUN
    ]
