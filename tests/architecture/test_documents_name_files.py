"""Every file and directory that a document names exists."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.repository import ROOT

_RINGS = "domain|application|adapters|entrypoints|protos|tests|deploy|docker|docs"
_PATH = re.compile(rf"`((?:{_RINGS})/[\w/.-]+)`")


def _documents() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    yield from (ROOT / "docs").glob("*.md")


def test_every_file_that_a_document_names_exists() -> None:
    named = [
        (document.name, path)
        for document in _documents()
        for path in _PATH.findall(document.read_text())
        # A path of the reader's own, and what is made on their machine.
        if "NAME" not in path and not path.startswith("docker/secrets")
    ]

    assert len(named) > 100
    assert [one for one in named if not (ROOT / one[1]).exists() and one[1] != "docker/.env"] == []
