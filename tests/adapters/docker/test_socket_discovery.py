import os
from pathlib import Path

import pytest

from adapters.docker.machine import DockerMachine
from adapters.docker.socket_discovery import SocketDiscovery
from tests.support.fake_servers import engine, silent_socket
from tests.support.fakes import FakeMachine

PATIENT_SECONDS = 60.0


def search(path: Path, home: Path, timeout_seconds: float = PATIENT_SECONDS) -> Path | None:
    machine = DockerMachine(path, FakeMachine(), in_container=False)
    return SocketDiscovery(machine, home, run=home / "run", timeout_seconds=timeout_seconds)()


@pytest.mark.parametrize(
    "place",
    [
        "docker.sock.raw",
        ".docker/run/docker.sock",
        ".docker/desktop/docker.sock",
        "run/docker.sock",
        f"run/user/{os.geteuid()}/docker.sock",
    ],
)
def test_an_engine_is_found_at_every_usual_place(place: str, short_folder: Path) -> None:
    elsewhere = short_folder / place
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    with engine(elsewhere):
        found = search(short_folder / "docker.sock", home=short_folder)

    assert found == elsewhere


def test_a_socket_that_does_not_answer_is_not_an_engine(short_folder: Path) -> None:
    with silent_socket(short_folder / "docker.sock.raw"):
        found = search(short_folder / "docker.sock", home=short_folder, timeout_seconds=0.1)

    assert found is None


def test_the_configured_socket_is_not_suggested_again(short_folder: Path) -> None:
    path = short_folder / ".docker/run/docker.sock"
    path.parent.mkdir(parents=True)
    with engine(path):
        found = search(path, home=short_folder)

    assert found is None
