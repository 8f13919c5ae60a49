"""Canary secrets, and the detector that fails every test that leaks one.

Every key and password that a test passes to our code is made by `canary`. Everything that our code
outputs meanwhile is passed to `leak_detector.check`. This module is a pytest plugin that fails each
test in which a canary secret leaked.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pythonjsonlogger.json import JsonFormatter

MARK = "canary-5e12b0a7"
# Documents may contain secrets. They belong in a store and in the responses to its clients.
DOCUMENT = "document"
# An API signs the credential of a host, so no test can choose it. Only the host may have it.
CREDENTIAL = "credential of a host"

_SECRET = re.compile(rf"{MARK}-([a-z0-9-]*)", re.IGNORECASE)
# A pattern that begins with letters is ten times as fast as one that begins with a boundary, and
# some files have megabytes.
_CREDENTIAL = re.compile(r"hc(?<!\whc)\.[\w-]{20,}\.[\w-]{20,}")
# Tokens of an OIDC provider, as tests/support/oidc_provider.py signs them: header and claims.
_TOKEN = re.compile(r"eyJ(?<!\weyJ)[\w-]{10,}\.[\w-]{10,}")
# Shorter lines could be part of another text.
_MIN_KEY_LINE_LENGTH = 40
# The private key of a certificate, which a host generates itself.
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")
_CONTEXT_BEFORE, _CONTEXT_AFTER = 120, 40
_MAX_SENTENCES = 20


def canary(name: str) -> str:
    """The secret of this name, always the same, and valid in a URL, a header and a file.

    A name that begins with DOCUMENT is for a secret in a configuration document.
    """
    return f"{MARK}-{name.replace(' ', '-')}"


def almost(secret: str) -> list[Any]:
    """Near misses of the secret that must be refused, as `pytest.mark.parametrize` parameters."""
    wrong = {
        "none": "",
        "capitals": secret.upper(),
        "a trailing blank": f"{secret} ",
        "too short": secret[:-1],
        "too long": f"{secret}s",
        "an accent": secret.replace("a", "á", 1),
        "another": canary("other key"),
    }
    return [pytest.param(key, id=name) for name, key in wrong.items()]


class LeakDetector:
    """Collects the outputs that contain a secret."""

    def __init__(self) -> None:
        self._leaks: list[str] = []
        self._key_lines: dict[str, str] = {}
        self._followed: dict[Path, tuple[str, str | None, int]] = {}

    def guard(self, name: str, private_key: bytes) -> None:
        """Also look for the lines of this PEM private key, because tests cannot choose its text."""
        for line in private_key.decode().splitlines():
            if len(line) >= _MIN_KEY_LINE_LENGTH and not line.startswith("---"):
                self._key_lines[line] = name

    def check(
        self, stream: str, output: object, *, allowed: str | tuple[str, ...] | None = None
    ) -> None:
        """Check one output. `allowed` is a prefix of the names of secrets that may be there."""
        text = str(output)
        if _CREDENTIAL.search(text) and not (allowed and CREDENTIAL.startswith(allowed)):
            self._leaks.append(f"{CREDENTIAL!r} leaked, {stream}")
        if _TOKEN.search(text):
            self._leaks.append(f"a token leaked, {stream}")
        for line, name in self._key_lines.items():
            if line in text:
                self._leaks.append(f"a line of the {name!r} leaked, {stream}")
        if _PRIVATE_KEY.search(text):
            self._leaks.append(f"a private key leaked, {stream}")
        for match in _SECRET.finditer(text):
            if allowed and match[1].lower().startswith(allowed):
                continue
            begin = text.rfind("\n", 0, match.start()) + 1
            part = text[max(begin, match.start() - _CONTEXT_BEFORE) : match.end() + _CONTEXT_AFTER]
            excerpt = _SECRET.sub(r"(\1)", part.partition("\n")[0])
            excerpt = "".join(filter(str.isprintable, excerpt))
            self._leaks.append(f"{match[1].lower()!r} leaked, {stream}: {excerpt}")

    def follow(self, stream: str, file: Path, *, allowed: str | None = None) -> None:
        """Check everything that is written to the file until `unfollow`."""
        self._followed.setdefault(file, (stream, allowed, 0))

    def unfollow(self, file: Path) -> None:
        self._read_on(file)
        self._followed.pop(file, None)

    def taken(self) -> list[str]:
        """Return a sentence for each leak since the last call."""
        for file in list(self._followed):
            self._read_on(file)
        leaks, self._leaks = self._leaks, []
        return list(dict.fromkeys(leaks))

    def _read_on(self, file: Path) -> None:
        if file not in self._followed or not file.exists():
            return
        stream, allowed, begin = self._followed[file]
        with file.open("rb") as opened:
            opened.seek(begin)
            # The rest of an incomplete line is read later.
            whole, newline, _ = opened.read().rpartition(b"\n")
        self._followed[file] = (stream, allowed, begin + len(whole + newline))
        self.check(stream, whole.decode(errors="replace"), allowed=allowed)


leak_detector = LeakDetector()


class _LogHandler(logging.Handler):
    """Checks each record as our processes would write it, whatever level `caplog` has."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter("{message}{name}", style="{", json_ensure_ascii=False))

    def emit(self, record: logging.LogRecord) -> None:
        leak_detector.check("in the log", self.format(record))


_log_handler = _LogHandler()


def pytest_configure() -> None:
    logging.getLogger().addHandler(_log_handler)


def pytest_unconfigure() -> None:
    logging.getLogger().removeHandler(_log_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for heading, output in report.sections:
        # The log handler has checked the log, and earlier reports have checked earlier phases.
        if heading in (f"Captured stdout {report.when}", f"Captured stderr {report.when}"):
            leak_detector.check(heading.lower(), output)
    if report.when == "teardown":
        for file in _sqlite_files(item):
            content = file.read_bytes().decode(errors="replace")
            leak_detector.check(f"in {file.name}", content, allowed=DOCUMENT)
    leaks = leak_detector.taken()[:_MAX_SENTENCES]
    if leaks and report.outcome == "failed":
        report.sections.append(("Leaked secrets", "\n".join(leaks)))
    elif leaks:
        report.outcome = "failed"
        report.longrepr = "\n".join(leaks)
    return report


def _sqlite_files(item: pytest.Item) -> Iterator[Path]:
    """The SQLite files of a test. The write-ahead log is one of them: it has the latest rows."""
    folder = (getattr(item, "funcargs", None) or {}).get("tmp_path")
    if folder:
        yield from (file for file in folder.rglob("*.sqlite3*") if file.is_file())
