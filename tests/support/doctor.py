"""Runs `manmanv2 doctor` as a process and parses its report."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import run_to_end


@dataclass(frozen=True)
class Report:
    exit_code: int
    head: str
    lines: list[str]

    @property
    def outcomes(self) -> dict[str, str]:
        """The outcome of each check, by its name."""
        return {line.split()[1]: line.split()[0] for line in self.lines}

    def of(self, check: str) -> str:
        """The last line of a check."""
        return next(line for line in reversed(self.lines) if line.split()[1] == check)


def doctor(*arguments: str, **variables: str) -> Report:
    return _report("manmanv2", "doctor", *arguments, **variables)


def doctor_without_privileges(*arguments: str, **variables: str) -> Report:
    return _report(*without_privileges("manmanv2"), "doctor", *arguments, **variables)


def _report(command: str, *arguments: str, **variables: str) -> Report:
    ended = run_to_end(command, *arguments, **variables)
    head, *lines = ended.stdout.splitlines()

    assert ended.stderr == ""
    assert "Traceback" not in ended.stdout
    return Report(ended.returncode, head, lines)


def without_privileges(command: str) -> tuple[str, ...]:
    """The command for Process and run_to_end, without root's right to read and write every file."""
    if os.geteuid() != 0:
        return (command,)
    setpriv = shutil.which("setpriv")
    assert setpriv
    dropped = "-dac_override,-dac_read_search"
    own = str(Path(sys.executable).parent / command)
    return (setpriv, f"--inh-caps={dropped}", f"--bounding-set={dropped}", own)
