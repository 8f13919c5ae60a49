"""The tests that docs/security.md names exist."""

import re

from tests.support.repository import ROOT

DOCUMENT = ROOT / "docs/security.md"

_IN_CODE = re.compile(r"`((?:tests|adapters|domain)/[\w/.]+)`")


def test_every_file_that_it_names_exists() -> None:
    named = _IN_CODE.findall(DOCUMENT.read_text())

    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_readme_and_the_security_policy_link_to_it() -> None:
    assert "(docs/security.md)" in (ROOT / "README.md").read_text()
    assert "(docs/security.md)" in (ROOT / "SECURITY.md").read_text()
