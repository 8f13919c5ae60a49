"""`manmanv2 demo`, which is what `make run` runs."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from adapters.sql.engine import make_engine
from adapters.sql.migrations import upgrade
from adapters.sql.store import SqlStore
from adapters.system.clock import SystemClock
from application.operators.create_operator_key import CreateOperatorKey
from domain.role import Role
from tests.support.canary_keys import CanaryKeys
from tests.support.canary_secrets import canary, leak_detector
from tests.support.processes import eventually, free_address
from tests.support.services.docker_engine import find_engine
from tests.support.terminal import Terminal

PATIENCE_SECONDS = 40


def run_demonstration(folder: Path, docker_socket: str = "") -> tuple[int, str]:
    """Run it until its server is online, stop it; its exit code and what it showed."""
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
    shown = b""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        part = os.read(reading, 65536)
        if not part:
            break
        if b"online" in part and b"online" not in shown:
            demonstration.send_signal(signal.SIGINT)
        shown += part
    os.close(reading)
    leak_detector.check("on the demonstration's screen", shown.decode())
    try:
        return demonstration.wait(PATIENCE_SECONDS), shown.decode()
    finally:
        demonstration.kill()


def test_it_shows_a_server_that_goes_offline_when_stopped_and_keeps_its_id(
    tmp_path: Path,
) -> None:
    server = f"1   {socket.gethostname()}-demo"
    for _ in range(2):
        exit_code, shown = run_demonstration(tmp_path)

        assert exit_code == 0, shown
        assert "ID  NAME" in shown
        assert f"{server}  demo         online" in shown
        assert f"{server}  demo         offline" in shown
        assert shown.count("Docker does not answer") + shown.count("own figures") >= 1
        assert "Traceback" not in shown


def test_once_an_admin_has_a_key_it_says_that_it_needs_one(tmp_path: Path) -> None:
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


def test_on_a_terminal_the_table_is_drawn_again_and_again_and_fits(tmp_path: Path) -> None:
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
    assert any(line.startswith("host: ") for line in lines)


def test_where_docker_answers_its_version_is_in_the_table(
    tmp_path: Path, docker_engine: str
) -> None:
    exit_code, shown = run_demonstration(tmp_path, docker_socket=docker_engine)
    engine = find_engine()

    assert engine
    assert exit_code == 0, shown
    assert engine.version in shown
    assert "own figures" not in shown
