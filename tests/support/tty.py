"""Standard streams that look like a terminal."""

import io
import re
import sys

import pytest


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """The output without styles such as bold."""
        return re.sub(r"\x1b\[[\d;]*m", "", self.getvalue())

    @property
    def lines(self) -> list[str]:
        """The lines without styles and trailing blanks."""
        return [line.rstrip() for line in self.text.split("\n")]


def replace_stdout(monkeypatch: pytest.MonkeyPatch, width: int, height: int = 24) -> Tty:
    """Replace standard output by a terminal of this size."""
    terminal = Tty()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", str(height))
    return terminal
