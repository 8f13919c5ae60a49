"""`manmanv2 servers watch`, on a terminal and in a pipe."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.processes import TIMEOUT_SECONDS, Api, client, eventually, run_to_end
from tests.support.terminal import Terminal


@pytest.fixture
def fleet(start_api: Callable[..., Api]) -> Api:
    """Server 1 is online in dev, 2 in production; neither expires during a test."""
    api = start_api("memory://", HEARTBEAT_INTERVAL_SECONDS="60")
    join(api, "one", "dev")
    join(api, "two", "production")
    return api


def join(api: Api, name: str, environment: str = "dev") -> None:
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name=name, environment=environment))


def leave(api: Api, server_id: int) -> None:
    with client(api.address) as stub:
        stub.Heartbeat(pb.HeartbeatRequest(server_id=server_id, leaving=True))


def delete(api: Api, server_id: int) -> None:
    with client(api.address) as stub:
        stub.DeleteServer(pb.DeleteServerRequest(server_id=server_id, force=True))


@pytest.fixture
def on_terminal() -> Iterator[Callable[..., Terminal]]:
    with ExitStack() as stack:

        def start(api: Api, *arguments: str, width: int = 120, height: int = 30) -> Terminal:
            command = ("manmanv2", "--api", api.address, "servers", "watch", "--every", "1s")
            terminal = Terminal(*command, *arguments, width=width, height=height)
            stack.callback(terminal.close)
            return terminal

        yield start


class Piped:
    """The command, with stdout and stderr in files."""

    def __init__(self, folder: Path, api: Api, *arguments: str) -> None:
        self._out, self._err = folder / "out", folder / "err"
        command = [str(Path(sys.executable).parent / "manmanv2"), "--api", api.address]
        with self._out.open("w") as out, self._err.open("w") as err:
            self._popen = subprocess.Popen(
                [*command, "servers", "watch", "--every", "1s", *arguments],
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
                stdout=out,
                stderr=err,
            )

    @property
    def lines(self) -> list[str]:
        return self._out.read_text().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def errors(self) -> list[str]:
        return self._err.read_text().splitlines()

    def wait_for_lines(self, count: int) -> list[str]:
        eventually(lambda: len(self.lines) >= count, f"{count} lines, there are {self.lines}")
        return self.lines

    def wait_for_errors(self, count: int) -> list[str]:
        eventually(lambda: len(self.errors) >= count, f"{count} lines on stderr")
        return self.errors

    def stop(self, stop_signal: signal.Signals = signal.SIGINT) -> int:
        self._popen.send_signal(stop_signal)
        return self.wait()

    def wait(self) -> int:
        return self._popen.wait(TIMEOUT_SECONDS)

    def close(self) -> None:
        self._popen.kill()
        self._popen.wait()


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[Callable[..., Piped]]:
    with ExitStack() as stack:

        def start(api: Api, *arguments: str) -> Piped:
            process = Piped(tmp_path, api, *arguments)
            stack.callback(process.close)
            return process

        yield start


def test_changes_are_marked_and_listed_below_the_table(
    fleet: Api, on_terminal: Callable[..., Terminal]
) -> None:
    terminal = on_terminal(fleet)
    before = terminal.wait_for("2 shown")
    leave(fleet, 1)
    delete(fleet, 2)
    join(fleet, "three")
    after = terminal.wait_for("3   three")
    changes = [line.split(maxsplit=1)[1] for line in after if "->" in line]

    assert [line.split()[:4] for line in before[:3]] == [
        ["ID", "NAME", "ENVIRONMENT", "STATUS"],
        ["1", "one", "dev", "online"],
        ["2", "two", "production", "online"],
    ]
    assert [line.split()[:5] for line in after[1:4]] == [
        ["*", "1", "one", "dev", "offline"],
        ["-", "2", "two", "production", "deleted"],
        ["*", "3", "three", "dev", "online"],
    ]
    assert {"1  one  online -> offline", "2  two  online -> deleted"} <= set(changes)
    assert "3  three  - -> online" in changes
    assert all(line.startswith("\x1b[1m") for line in terminal.styled_lines[1:4])


def test_a_mark_disappears_after_a_while(fleet: Api, on_terminal: Callable[..., Terminal]) -> None:
    terminal = on_terminal(fleet)
    terminal.wait_for("2 shown")
    delete(fleet, 2)
    terminal.wait_for("deleted")
    eventually(
        lambda: not any("production" in line for line in terminal.lines), "the mark to disappear"
    )

    assert any("2  two  online -> deleted" in line for line in terminal.lines)


@pytest.mark.parametrize("width", [100, 60, 30])
def test_nothing_wraps_on_a_narrow_terminal(
    fleet: Api, on_terminal: Callable[..., Terminal], width: int
) -> None:
    join(fleet, "a-name-that-is-far-too-long-" * 9)
    join(fleet, "日本語" * 30)
    terminal = on_terminal(fleet, width=width)
    lines = terminal.wait_for("4 shown")

    assert all(cell_len(line) <= width for line in lines)
    assert sum("online" in line for line in lines) == 4
    assert lines[len(["heading", *range(4)])] == ""


def test_a_terminal_that_becomes_narrower_is_redrawn(
    fleet: Api, on_terminal: Callable[..., Terminal]
) -> None:
    terminal = on_terminal(fleet)
    terminal.wait_for("LAST SEEN")
    terminal.resize(40, 20)

    eventually(lambda: all(len(line) <= 40 for line in terminal.lines), "a narrower table")


def test_nothing_scrolls_on_a_low_terminal(
    fleet: Api, on_terminal: Callable[..., Terminal]
) -> None:
    for number in range(20):
        join(fleet, f"box-{number}")
    terminal = on_terminal(fleet, height=10)
    lines = terminal.wait_for("22 shown")

    assert len(lines) <= 10
    assert lines[6] == "and 17 more than fit here"


def test_a_drawing_replaces_the_previous_one_without_clearing_the_terminal(
    fleet: Api, on_terminal: Callable[..., Terminal]
) -> None:
    terminal = on_terminal(fleet)
    eventually(lambda: terminal.text.count("\x1b[H") >= 3, "three drawings")

    assert "\x1b[2J" not in terminal.text


def test_the_status_line_reports_an_api_that_goes_away_and_comes_back(
    start_api: Callable[..., Api], tmp_path: Path, on_terminal: Callable[..., Terminal]
) -> None:
    database = f"sqlite:///{tmp_path / 'fleet.sqlite3'}"
    api = start_api(database, HEARTBEAT_INTERVAL_SECONDS="60")
    join(api, "one")
    terminal = on_terminal(api)
    terminal.wait_for("1 shown")
    api.kill()
    away = terminal.wait_for(f"asking again: no API answers at {api.address}")
    dimmed = terminal.styled_lines[1]
    start_api(database, address=api.address, HEARTBEAT_INTERVAL_SECONDS="60")
    back = terminal.wait_for("1 shown, updated")

    assert any(line.startswith("Last answer ") for line in away)
    assert dimmed.startswith("\x1b[2m")
    assert "one" in dimmed
    assert not any("asking again" in line for line in back)


def test_ctrl_c_ends_it_cleanly_even_while_an_api_does_not_answer(
    fleet: Api, on_terminal: Callable[..., Terminal]
) -> None:
    terminal = on_terminal(fleet)
    terminal.wait_for("2 shown")
    os.kill(fleet.pid, signal.SIGSTOP)
    older = re.compile(r"updated (?![0-2]s)\d+[smh] ago")
    eventually(lambda: any(map(older.search, terminal.lines)), "an age that grows")

    assert terminal.stop() == 0
    assert "Traceback" not in terminal.text


def test_in_a_pipe_each_change_is_a_line(fleet: Api, piped: Callable[..., Piped]) -> None:
    watching = piped(fleet)
    _wait_for_the_first_snapshot(fleet, watching)
    changes = [partial(leave, fleet, 1), partial(delete, fleet, 1), partial(join, fleet, "a b")]
    for number, change in enumerate(changes, start=1):
        change()
        eventually(partial(_has_lines, watching, number), "a line")
    lines = _lines(watching)

    assert [line.split("  ", 2)[2] for line in lines] == [
        "one  online -> offline",
        "one  offline -> deleted",
        "a b  - -> online",
    ]
    assert watching.stop() == 0
    assert watching.errors == []


def _wait_for_the_first_snapshot(api: Api, watching: Piped) -> None:
    """Servers that join before the first snapshot are not changes, so it may take several."""

    def another_joined() -> bool:
        join(api, f"another-{os.urandom(4).hex()}")
        return bool(watching.lines)

    eventually(another_joined, "a first line")


def _has_lines(watching: Piped, count: int) -> bool:
    return len(_lines(watching)) >= count


def _lines(watching: Piped) -> list[str]:
    return [line for line in watching.lines if "another-" not in line]


def test_with_o_json_each_line_is_an_object_from_the_first_state_on(
    fleet: Api, piped: Callable[..., Piped]
) -> None:
    watching = piped(fleet, "-o", "json")
    watching.wait_for_lines(2)
    leave(fleet, 1)
    watching.wait_for_lines(3)
    delete(fleet, 1)
    watching.wait_for_lines(4)
    listed = run_to_end("manmanv2", "--api", fleet.address, "servers", "show", "2", "-o", "json")
    first, second, left, deleted = watching.objects

    assert [first["change"], second["change"]] == ["initial", "initial"]
    assert second["server"].keys() == json.loads(listed.stdout).keys() - {"configurations"}
    assert (left["change"], left["old_status"], left["server"]["status"]) == (
        "status",
        "online",
        "offline",
    )
    assert (deleted["change"], deleted["server"]["server_id"]) == ("deleted", 1)
    assert watching.stop(signal.SIGTERM) == 0


def test_only_matching_servers_are_reported_and_also_that_they_no_longer_match(
    fleet: Api, piped: Callable[..., Piped]
) -> None:
    watching = piped(fleet, "-o", "json", "--status", "online", "--environment", "dev")
    watching.wait_for_lines(1)
    leave(fleet, 2)
    leave(fleet, 1)
    watching.wait_for_lines(2)
    join(fleet, "one")
    watching.wait_for_lines(3)

    assert [
        (change["change"], change["server"]["name"], change["server"]["status"])
        for change in watching.objects
    ] == [("initial", "one", "online"), ("unlisted", "one", "offline"), ("added", "one", "online")]


def test_servers_can_be_chosen_by_their_ids(fleet: Api, piped: Callable[..., Piped]) -> None:
    watching = piped(fleet, "-o", "json", "2")
    watching.wait_for_lines(1)
    leave(fleet, 1)
    leave(fleet, 2)
    watching.wait_for_lines(2)
    delete(fleet, 2)
    watching.wait_for_lines(3)

    assert [(change["change"], change["server"]["name"]) for change in watching.objects] == [
        ("initial", "two"),
        ("status", "two"),
        ("deleted", "two"),
    ]


def test_in_a_pipe_an_api_that_goes_away_and_comes_back_is_reported_on_stderr(
    start_api: Callable[..., Api], piped: Callable[..., Piped]
) -> None:
    api = start_api("memory://")
    join(api, "one")
    watching = piped(api, "-o", "json")
    watching.wait_for_lines(1)
    api.kill()
    watching.wait_for_errors(1)
    start_api("memory://", address=api.address)
    away, back = watching.wait_for_errors(2)

    assert away.startswith(f"manmanv2: no API answers at {api.address}: ")
    assert away.endswith("; asking again")
    assert back == "manmanv2: the API answers again"
    assert watching.wait_for_lines(2)
    assert watching.objects[1]["change"] == "deleted"


def test_it_ends_if_an_api_never_answers_or_refuses(
    start_api: Callable[..., Api], piped: Callable[..., Piped]
) -> None:
    never = run_to_end("manmanv2", "--api", "127.0.0.1:1", "servers", "watch")
    api = start_api("memory://")
    missing = run_to_end("manmanv2", "--api", api.address, "servers", "watch", "42")
    watching = piped(api)
    _wait_for_the_first_snapshot(api, watching)
    api.kill()
    start_api("memory://", address=api.address, OPERATOR_KEY=canary("new operator key"))

    assert (never.returncode, never.stdout) == (69, "")
    assert never.stderr.startswith("manmanv2: no API answers at 127.0.0.1:1")
    assert (missing.returncode, missing.stderr) == (66, "manmanv2: server 42 does not exist\n")
    assert watching.wait() == 77
    assert "OPERATOR_KEY" in watching.errors[-1]
