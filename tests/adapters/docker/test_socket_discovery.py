import os
from pathlib import Path

import pytest

from adapters.docker.machine import DockerMachine
from adapters.docker.socket_discovery import EngineSearch
from tests.support.fake_servers import engine, silent_socket
from tests.support.fakes import FakeMachine


def search(path: Path, home: Path) -> Path | None:
    machine = DockerMachine(path, FakeMachine(), in_container=False)
    return EngineSearch(machine, home, run=home / "run")()


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
def test_an_engine_is_found_where_it_may_have_its_socket(place: str, short_folder: Path) -> None:
    elsewhere = short_folder / place
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    with engine(elsewhere):
        found = search(short_folder / "docker.sock", home=short_folder)

    assert found == elsewhere


def test_a_socket_at_which_nobody_answers_is_no_engine(short_folder: Path) -> None:
    with silent_socket(short_folder / "docker.sock.raw"):
        found = search(short_folder / "docker.sock", home=short_folder)

    assert found is None


def test_the_place_that_was_looked_at_already_is_not_pointed_to(short_folder: Path) -> None:
    path = short_folder / ".docker/run/docker.sock"
    path.parent.mkdir(parents=True)
    with engine(path):
        found = search(path, home=short_folder)

    assert found is None
