"""`manmanv2 demo`, which `make run` runs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from adapters.sql.engine import make_engine
from adapters.sql.migrations import upgrade
from adapters.sql.store import SqlStore
from adapters.system.clock import SystemClock
from application.operators.create_operator_key import CreateOperatorKey
from domain.role import Role
from tests.support.canary_keys import CanaryKeys
from tests.support.canary_secrets import canary, leak_detector
from tests.support.processes import eventually, free_address
from tests.support.repository import ROOT
from tests.support.services.docker_engine import find_engine
from tests.support.terminal import Terminal

TIMEOUT_SECONDS = 120


def run_demonstration(folder: Path, docker_socket: str = "") -> tuple[int, str]:
    """Run it until its server is online, and stop it. Returns its exit code and its output."""
    reading, writing = os.pipe()
    demonstration = subprocess.Popen(
        [str(Path(sys.executable).parent / "manmanv2"), "demo"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "LISTEN_ADDRESS": free_address(),
            "REGISTRATION_KEY": canary("registration key"),
            "OPERATOR_KEY": canary("operator key"),
            "DOCKER_SOCKET": docker_socket or str(folder / "no-docker.sock"),
        },
        stdout=writing,
        stderr=writing,
        start_new_session=True,
    )
    os.close(writing)
    output = b""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        part = os.read(reading, 65536)
        if not part:
            break
        if b"online" in part and b"online" not in output:
            demonstration.send_signal(signal.SIGINT)
        output += part
    os.close(reading)
    leak_detector.check("on the demonstration's screen", output.decode())
    try:
        return demonstration.wait(TIMEOUT_SECONDS), output.decode()
    finally:
        demonstration.kill()


def test_its_server_goes_offline_when_it_stops_and_keeps_its_id(
    tmp_path: Path,
) -> None:
    server = f"1   {socket.gethostname()}-demo"
    for _ in range(2):
        exit_code, output = run_demonstration(tmp_path)

        assert exit_code == 0, output
        assert "ID  NAME" in output
        assert f"{server}  demo         online" in output
        assert f"{server}  demo         offline" in output
        assert output.count("Docker does not answer") + output.count("own figures") >= 1
        assert "Traceback" not in output


def test_once_an_admin_has_a_key_it_asks_for_one(tmp_path: Path) -> None:
    file = f"sqlite:///{tmp_path / 'demo.sqlite3'}"
    upgrade(file)
    engine = make_engine(file)
    CreateOperatorKey(SqlStore(engine), SystemClock(), CanaryKeys())(
        "ann", Role.ADMIN, None, "local"
    )
    engine.dispose()
    terminal = Terminal(
        "manmanv2",
        "demo",
        width=200,
        height=24,
        LISTEN_ADDRESS=free_address(),
        DATABASE_URL=file,
        DOCKER_SOCKET=str(tmp_path / "no-docker.sock"),
    )
    try:
        terminal.wait_for("demo: operators' calls need an operator's key")
        exit_code = terminal.stop(signal.SIGTERM)
    finally:
        terminal.close()

    assert exit_code == 0, terminal.text


def test_on_a_terminal_the_table_is_redrawn_and_fits(tmp_path: Path) -> None:
    terminal = Terminal(
        "manmanv2",
        "demo",
        width=60,
        height=24,
        LISTEN_ADDRESS=free_address(),
        DATABASE_URL=f"sqlite:///{tmp_path / 'demo.sqlite3'}",
        DOCKER_SOCKET=str(tmp_path / "no-docker.sock"),
    )
    try:
        lines = terminal.wait_for("online")
        drawings = terminal.text.count("\x1b[H")
        eventually(lambda: terminal.text.count("\x1b[H") > drawings, "the next drawing")
        exit_code = terminal.stop(signal.SIGTERM)
    finally:
        terminal.close()

    assert exit_code == 0, terminal.text
    assert all(len(line) <= 60 for line in lines)
    assert "Stop with Ctrl-C." in lines
    # Commands wrap, so that they can be copied as a whole.
    last = " ".join(lines[lines.index("Try in another terminal:") :])
    assert [last.count(part) for part in ("servers watch", "servers explain 1")] == [1, 1]
    assert last.endswith("configs put 1 motd")
    assert any(line.startswith("host: ") for line in lines)


def test_the_table_shows_the_version_of_docker(tmp_path: Path, docker_engine: str) -> None:
    exit_code, output = run_demonstration(tmp_path, docker_socket=docker_engine)
    engine = find_engine()

    assert engine
    assert exit_code == 0, output
    assert engine.version in output
    assert "own figures" not in output


def started(folder: Path, *command: str, **variables: str) -> "subprocess.Popen[bytes]":
    """Runs the command, with a demonstration that uses no file outside the folder."""
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "LISTEN_ADDRESS": free_address(),
                "METRICS_ADDRESS": "off",
                "DATABASE_URL": f"sqlite:///{folder}/demo.sqlite3",
                "DOCKER_SOCKET": str(folder / "no-docker.sock"),
                **variables,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def is_running(process: psutil.Process) -> bool:
    # Where nothing reaps orphans, as in many containers, an ended process stays a zombie.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def ended_at_last(processes: list[psutil.Process]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in filter(is_running, processes):
            process.kill()


@pytest.mark.parametrize(
    "command",
    [
        (str(Path(sys.executable).parent / "manmanv2"), "demo"),
        # The virtual environment is the one that runs this test, so make need not create it.
        ("make", "--assume-old", ".venv/ready", "run", f"BIN={Path(sys.executable).parent}"),
    ],
    ids=["manmanv2 demo", "make run"],
)
def test_killed_at_once_it_leaves_no_process_behind(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    demonstration = started(tmp_path, *command)
    log = tmp_path / "log"
    try:
        eventually(lambda: "online" in log.read_text(), f"a server:\n{log.read_text()}")
        children = descendants(demonstration.pid)
    finally:
        demonstration.kill()
        demonstration.wait()
    with ended_at_last(children):
        eventually(lambda: not any(map(is_running, children)), "the end of all processes")

    assert len(children) >= 2


def test_it_suggests_three_commands_that_work(tmp_path: Path) -> None:
    demonstration = started(tmp_path, str(Path(sys.executable).parent / "manmanv2"), "demo")
    log = tmp_path / "log"
    try:
        eventually(lambda: "configs put" in log.read_text(), "the commands")
        _, _, after_heading = log.read_text().partition("Try in another terminal:\n")
        watch, *others = (line.strip() for line in after_heading.splitlines()[:3])
        ended = [
            subprocess.run(
                ["bash", "-c", command],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"]},
                capture_output=True,
                text=True,
                check=False,
            )
            for command in others
        ]
    finally:
        demonstration.terminate()
        demonstration.wait()

    assert watch.endswith(" servers watch")
    assert [(command.returncode, command.stderr) for command in ended] == [(0, ""), (0, "")]
    assert ended[1].stdout == "motd of server 1 has revision 1\n"


def test_on_a_taken_port_it_names_a_free_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = started(
            tmp_path,
            *(str(Path(sys.executable).parent / "manmanv2"), "demo"),
            LISTEN_ADDRESS=f"127.0.0.1:{port}",
        )
        exit_code = ended.wait(TIMEOUT_SECONDS)
    sentence, _, cure = (tmp_path / "log").read_text().partition(": LISTEN_ADDRESS=")
    address = cure.removesuffix(" make run\n")

    assert exit_code == os.EX_UNAVAILABLE
    assert sentence == (
        f"manmanv2: port {port} is taken by another program, perhaps another `make run`: stop that"
        " program, or run it on another port"
    )
    with socket.create_server(("127.0.0.1", int(address.removeprefix("127.0.0.1:")))):
        assert not (tmp_path / "demo.sqlite3").exists()


def test_a_first_run_reports_each_step_before_it_begins(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    # Replaces the interpreter, the first program that takes long. It never ends by itself.
    interpreter = tmp_path / "python3"
    interpreter.write_text("#!/bin/sh\necho the interpreter runs\nexec sleep 600\n")
    interpreter.chmod(0o755)
    run = subprocess.Popen(
        ["make", "run", f"INTERPRETER={interpreter}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert run.stdout
        first, second = run.stdout.readline(), run.stdout.readline()
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()

    assert first == "Setting up .tools: fetching uv, which installs packages (needed once)\n"
    assert second == "the interpreter runs\n"
