"""Secrets that may come out nowhere.

Every key and password that a test hands to our code is `planted`. What comes out meanwhile is
looked at, wherever it does: `leaks` is told of it, and each test in which a planted secret came
out fails by the plugin that this module is.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pythonjsonlogger.json import JsonFormatter

MARK = "planted-5e12b0a7"
# A store and its clients hold documents, whatever is in them: that is what they are for.
DOCUMENT = "document"
# Of a host, which no test plants: an API signs it. It belongs to the host alone.
CREDENTIAL = "credential of a host"

_SECRET = re.compile(rf"{MARK}-([a-z0-9-]*)", re.IGNORECASE)
# What begins with letters is searched for ten times as fast as what begins with a boundary, and
# some files have megabytes.
_CREDENTIAL = re.compile(r"hc(?<!\whc)\.[\w-]{20,}\.[\w-]{20,}")
# Of an OIDC provider, as tests/support/oidc_provider.py signs them: a header and what it claims.
_TOKEN = re.compile(r"eyJ(?<!\weyJ)[\w-]{10,}\.[\w-]{10,}")
# Shorter ones could be part of something else.
_MIN_KEY_LINE_LENGTH = 40
# Of a certificate, which a host makes for itself.
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")
_SHOWN_BEFORE, _SHOWN_BEHIND = 120, 40
_SHOWN_SENTENCES = 20


def canary(name: str) -> str:
    """The secret of this name, always the same; fit for a URL, a header and a file.

    One whose name begins with DOCUMENT is for a configuration document.
    """
    return f"{MARK}-{name.replace(' ', '-')}"


def almost(secret: str) -> list[Any]:
    """What is nearly the secret and is to be refused, for `pytest.mark.parametrize`."""
    wrong = {
        "none": "",
        "capitals": secret.upper(),
        "a blank behind": f"{secret} ",
        "too short": secret[:-1],
        "too long": f"{secret}s",
        "an accent": secret.replace("a", "á", 1),
        "another": canary("other key"),
    }
    return [pytest.param(given, id=name) for name, given in wrong.items()]


class LeakDetector:
    """What came out in which a secret is."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._key_lines: dict[str, str] = {}
        self._followed: dict[Path, tuple[str, str | None, int]] = {}

    def guard(self, name: str, private_key: bytes) -> None:
        """Look for the lines of a private key in PEM, too, which nobody can choose."""
        for line in private_key.decode().splitlines():
            if len(line) >= _MIN_KEY_LINE_LENGTH and not line.startswith("---"):
                self._key_lines[line] = name

    def check(
        self, stream: str, said: object, *, but_for: str | tuple[str, ...] | None = None
    ) -> None:
        """Told of everything that comes out. `but_for` names the secrets whose place it is."""
        text = str(said)
        if _CREDENTIAL.search(text) and not (but_for and CREDENTIAL.startswith(but_for)):
            self._found.append(f"{CREDENTIAL!r} came out, {stream}")
        if _TOKEN.search(text):
            self._found.append(f"a token came out, {stream}")
        for line, name in self._key_lines.items():
            if line in text:
                self._found.append(f"a line of the {name!r} came out, {stream}")
        if _PRIVATE_KEY.search(text):
            self._found.append(f"a private key came out, {stream}")
        for found in _SECRET.finditer(text):
            if but_for and found[1].lower().startswith(but_for):
                continue
            begin = text.rfind("\n", 0, found.start()) + 1
            part = text[max(begin, found.start() - _SHOWN_BEFORE) : found.end() + _SHOWN_BEHIND]
            shown = _SECRET.sub(r"(\1)", part.partition("\n")[0])
            shown = "".join(filter(str.isprintable, shown))
            self._found.append(f"{found[1].lower()!r} came out, {stream}: {shown}")

    def follow(self, stream: str, file: Path, *, but_for: str | None = None) -> None:
        """Look at what is written to the file, until it is let go."""
        self._followed.setdefault(file, (stream, but_for, 0))

    def let_go(self, file: Path) -> None:
        self._read_on(file)
        self._followed.pop(file, None)

    def taken(self) -> list[str]:
        """A sentence for each that was found since the last time."""
        for file in list(self._followed):
            self._read_on(file)
        found, self._found = self._found, []
        return list(dict.fromkeys(found))

    def _read_on(self, file: Path) -> None:
        if file not in self._followed or not file.exists():
            return
        stream, but_for, begin = self._followed[file]
        with file.open("rb") as opened:
            opened.seek(begin)
            # Of a line that is being written the rest comes later.
            whole, newline, _ = opened.read().rpartition(b"\n")
        self._followed[file] = (stream, but_for, begin + len(whole + newline))
        self.check(stream, whole.decode(errors="replace"), but_for=but_for)


leak_detector = LeakDetector()


class _LogWitness(logging.Handler):
    """Sees each record as our processes would write it, whatever a test asks of `caplog`."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter("{message}{name}", style="{", json_ensure_ascii=False))

    def emit(self, record: logging.LogRecord) -> None:
        leak_detector.check("in the log", self.format(record))


_witness = _LogWitness()


def pytest_configure() -> None:
    logging.getLogger().addHandler(_witness)


def pytest_unconfigure() -> None:
    logging.getLogger().removeHandler(_witness)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for heading, said in report.sections:
        # The log was seen already, and those of earlier phases, too.
        if heading in (f"Captured stdout {report.when}", f"Captured stderr {report.when}"):
            leak_detector.check(heading.lower(), said)
    if report.when == "teardown":
        for file in _sqlite_files(item):
            content = file.read_bytes().decode(errors="replace")
            leak_detector.check(f"in {file.name}", content, but_for=DOCUMENT)
    found = leak_detector.taken()[:_SHOWN_SENTENCES]
    if found and report.outcome == "failed":
        report.sections.append(("Secrets that came out", "\n".join(found)))
    elif found:
        report.outcome = "failed"
        report.longrepr = "\n".join(found)
    return report


def _sqlite_files(item: pytest.Item) -> Iterator[Path]:
    """With what belongs to them: the last rows are in the write-ahead log."""
    folder = (getattr(item, "funcargs", None) or {}).get("tmp_path")
    if folder:
        yield from (file for file in folder.rglob("*.sqlite3*") if file.is_file())
