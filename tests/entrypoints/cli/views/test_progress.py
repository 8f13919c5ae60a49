import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from entrypoints.cli.commands import manmanv2
from entrypoints.cli.views.output import print_lines
from entrypoints.cli.views.progress import count_progress, step_progress
from tests.support.repository import ROOT
from tests.support.tty import Tty, replace_stdout


def replace_streams(monkeypatch: pytest.MonkeyPatch) -> Tty:
    """Both standard streams are terminals; returns standard error."""
    replace_stdout(monkeypatch, 80)
    terminal = Tty()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_a_terminal_shows_how_many_steps_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = replace_streams(monkeypatch)
    with count_progress("Deleting servers", 3) as advance:
        for _ in range(3):
            advance()

    assert "Deleting servers" in stderr.text
    assert "0/3" in stderr.text
    assert "3/3" in stderr.text


def test_without_a_total_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = replace_streams(monkeypatch)
    with count_progress("Deleting servers") as advance:
        advance()
        advance()

    assert " 2 " in stderr.text


def test_lines_that_are_printed_meanwhile_appear_above_the_bar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stderr = replace_streams(monkeypatch)
    with count_progress("Deleting servers", 2) as advance:
        print_lines("deleted server 1 ([red]web[/red])")
        advance()

    assert "deleted server 1 ([red]web[/red])\n" in stderr.text


def test_what_goes_into_a_pipe_is_not_shown_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = sys.stdout
    stderr = replace_streams(monkeypatch)
    monkeypatch.setattr(sys, "stdout", pipe)
    with count_progress("Deleting servers", 1) as advance:
        print_lines("deleted server 1")
        advance()

    assert "deleted server 1" not in stderr.text
    assert capsys.readouterr().out == "deleted server 1\n"


def test_off_a_terminal_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with count_progress("Deleting servers", 1) as advance:
        advance()
    with step_progress("Upgrading the database") as begin_step:
        begin_step("0001 -> 0002")

    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_the_step_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = replace_streams(monkeypatch)
    with step_progress("Upgrading the database") as begin_step:
        begin_step("0001 -> \x1b[31m0002")

    assert r"Upgrading the database: 0001 -> \x1b[31m0002" in stderr.text


def test_on_a_terminal_a_deletion_prints_each_server_on_a_line_of_its_own() -> None:
    program = """
from entrypoints.cli.views.output import print_lines
from entrypoints.cli.views.progress import count_progress
with count_progress("Deleting servers", 20) as advance:
    for number in range(20):
        advance()
        print_lines(f"deleted server {number}")
"""
    output = output_on_a_terminal(sys.executable, "-c", program)
    lines = [re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", line) for line in output.split("\n")]

    assert [line for line in lines if "deleted" in line] == [
        f"deleted server {number}" for number in range(20)
    ]


def output_on_a_terminal(*command: str) -> str:
    """The output of the command without the bar, which it erases again."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, env={"TERM": "xterm", "COLUMNS": "80"}, cwd=ROOT, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        written = b""
        # The terminal reports an error once no process has it open any more.
        with suppress(OSError):
            while part := os.read(ours, 65536):
                written += part
    os.close(ours)
    return re.sub(r"[^\n]*\r\x1b\[2K", "", written.decode().replace("\r\n", "\n"))


def test_an_upgrade_of_the_database_shows_each_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps: list[str] = []

    @contextmanager
    def record_steps(description: str) -> Iterator[Callable[[str], None]]:
        yield steps.append

    monkeypatch.setattr("entrypoints.cli.db.step_progress", record_steps)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/new.sqlite3")
    manmanv2.main(("db", "upgrade"), standalone_mode=False)

    assert len(steps) >= 5
    assert all("upgrade" in step and "->" in step for step in steps)
