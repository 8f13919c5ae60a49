import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import docker
import pytest

from adapters.docker.machine import DockerMachine
from application.ports.host.machine import EngineUnavailable, MachineReport
from domain.capabilities import Capabilities
from tests.support.canary_secrets import canary
from tests.support.fake_servers import answering_socket
from tests.support.fakes import FakeMachine

ITSELF = MachineReport(
    "container-id",
    Capabilities(
        total_memory_mb=65536,
        available_memory_mb=2048,
        cpu_cores=16,
        available_cpu_millicores=1500,
    ),
)
INFO = {"Name": "mars", "MemTotal": 8 * 2**30 + 4096, "NCPU": 4, "ServerVersion": "29.1.2"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, as addresses of sockets must be, that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="manman") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "docker.sock"


def docker_machine(path: Path, *, in_container: bool = False) -> DockerMachine:
    itself = FakeMachine([ITSELF])
    return DockerMachine(path, itself, in_container=in_container, timeout_seconds=0.3)


def trouble_at(path: Path) -> str:
    with pytest.raises(EngineUnavailable) as caught:
        docker_machine(path).report()
    return str(caught.value)


@contextmanager
def engine(path: Path, answer: bytes, *, speaks: bool = False) -> Iterator[None]:
    """Something that answers every connection with these bytes.

    One that `speaks` Docker's language tells its version first, as the SDK wants to know it.
    """

    def say(connection: socket.socket) -> None:
        asks_version = b" /version " in connection.recv(4096)
        connection.sendall(VERSION if asks_version and speaks else answer)

    with answering_socket(path, say):
        yield


def http(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


VERSION = http(b'{"ApiVersion": "1.41"}')


def info(**other: object) -> bytes:
    return http(json.dumps(INFO | other).encode())


@contextmanager
def no_privileges() -> Iterator[None]:
    """Root may do everything, so these lines run as nobody then."""
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65534)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)


# What an engine says


def test_a_real_engine_tells_what_the_machine_has(docker_engine: str) -> None:
    machine = DockerMachine(Path(docker_engine), FakeMachine([ITSELF]), in_container=True)
    with closing(docker.DockerClient(base_url=f"unix://{docker_engine}")) as client:
        expected = client.info()

    report = machine.report()

    assert report.hostname == expected["Name"]
    assert report.capabilities.cpu_cores == expected["NCPU"]
    assert report.capabilities.total_memory_mb == expected["MemTotal"] // 2**20
    assert report.capabilities.docker_version == expected["ServerVersion"]
    assert report.engine_id == expected["ID"] == machine.report().engine_id != ""


def test_docker_has_the_totals_and_the_machine_itself_what_is_left(path: Path) -> None:
    with engine(path, info(), speaks=True):
        report = docker_machine(path).report()

    assert report == MachineReport(
        "container-id",
        Capabilities(
            total_memory_mb=8192,
            available_memory_mb=2048,
            cpu_cores=4,
            available_cpu_millicores=1500,
            docker_version="29.1.2",
        ),
    )


@pytest.mark.parametrize(
    ("told", "engine_id"),
    [
        ({"ID": "f4b5e7de-9b4f-4f6e-8f0c-8a4b5f1d2c3e"}, "f4b5e7de-9b4f-4f6e-8f0c-8a4b5f1d2c3e"),
        ({"ID": "7TRN:IPZB:QYBB:VPBQ:UMPP"}, "7TRN:IPZB:QYBB:VPBQ:UMPP"),
        ({}, ""),
        ({"ID": None}, ""),
        ({"ID": 7}, ""),
        ({"ID": "x" * 101}, ""),
        # Podman makes up another one for each answer.
        ({"ID": "f4b5e7de-9b4f-4f6e-8f0c-8a4b5f1d2c3e", "BuildahVersion": "1.38.0"}, ""),
    ],
)
def test_an_engine_that_keeps_an_id_is_known_by_it(
    path: Path, told: dict[str, object], engine_id: str
) -> None:
    with engine(path, info(**told), speaks=True):
        assert docker_machine(path).report().engine_id == engine_id


def test_in_a_container_the_hostname_is_the_machines(path: Path) -> None:
    with engine(path, info(), speaks=True):
        report = docker_machine(path, in_container=True).report()

    assert report.hostname == "mars"


def test_nothing_that_is_left_exceeds_the_totals_of_docker(path: Path) -> None:
    with engine(path, info(MemTotal=2**30, NCPU=1), speaks=True):
        capabilities = docker_machine(path).report().capabilities

    assert capabilities.available_memory_mb == 1024
    assert capabilities.available_cpu_millicores == 1000


def test_an_engine_that_was_restarted_is_found_again(path: Path) -> None:
    itself = FakeMachine([ITSELF, ITSELF])
    machine = DockerMachine(path, itself, in_container=False)
    with engine(path, info(ServerVersion="28"), speaks=True):
        machine.report()
    with pytest.raises(EngineUnavailable):
        machine.report()

    with engine(path, info(ServerVersion="29"), speaks=True):
        report = machine.report()

    assert report.capabilities.docker_version == "29"


# What is no engine


def test_a_missing_socket_is_told_with_the_cure(path: Path) -> None:
    trouble = trouble_at(path)

    assert trouble == (
        f"DOCKER_SOCKET {path} does not exist: start Docker, or set DOCKER_SOCKET to where its"
        " socket is."
    )


def test_a_path_below_a_file_does_not_exist(path: Path) -> None:
    path.touch()

    assert "does not exist" in trouble_at(path / "docker.sock")


def test_a_file_is_no_socket(path: Path) -> None:
    path.touch()

    assert f"{path} is no socket: " in trouble_at(path)


def test_a_folder_is_no_socket(path: Path) -> None:
    path.mkdir()

    assert f"{path} is a folder: " in trouble_at(path)


def test_a_path_that_is_too_long_for_a_socket_cannot_be_used(folder: Path) -> None:
    deep = folder / ("a" * 60) / ("b" * 60)
    deep.parent.mkdir()
    with engine(folder / "s", b""):
        (folder / "s").rename(deep)
        trouble = trouble_at(deep)
        deep.rename(folder / "s")

    assert f"{deep} cannot be used: " in trouble


def test_a_name_that_is_too_long_for_a_file_cannot_be_used(folder: Path) -> None:
    path = folder / ("a" * 300)

    assert f"{path} cannot be used: " in trouble_at(path)


def test_a_socket_without_a_listener_says_to_start_docker(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
        gone.listen()

    assert f"{path} is there but nobody listens on it: start Docker." in trouble_at(path)


def test_a_socket_that_this_user_may_not_use_names_user_and_group(path: Path) -> None:
    with engine(path, info(), speaks=True):
        path.chmod(0)
        with no_privileges():
            trouble = trouble_at(path)
            uid = os.geteuid()

    assert f"{path} may not be used by this user (uid {uid})" in trouble
    assert "group" in trouble


def test_a_folder_that_this_user_may_not_enter_is_a_matter_of_permission(path: Path) -> None:
    path.parent.chmod(0o400)
    with no_privileges():
        trouble = trouble_at(path)
    path.parent.chmod(0o700)

    assert "may not be used by this user" in trouble


def test_an_engine_that_never_answers_hangs(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        trouble = trouble_at(path)

    assert f"{path} does not answer within 0.3 seconds: Docker hangs, restart it." in trouble


def test_an_engine_that_accepts_nobody_hangs(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as full, contextlib.ExitStack() as waiting:
        full.bind(str(path))
        full.listen(0)
        waiting.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        trouble = trouble_at(path)

    assert "does not answer within 0.3 seconds" in trouble


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"\x00" * 100,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200,
        http(b""),
        http(b"<html>"),
        http(b"\xff\xfe\xfd"),
        http(b"null"),
        http(b"[]"),
        http(b"[" * 100_000),
        http(b"{}"),
        info(NCPU=None),
        info(NCPU=4.5),
        info(NCPU=-1),
        info(NCPU="four"),
        info(NCPU=10**30),
        info(MemTotal=-(2**30)),
        info(MemTotal=float("inf")),
        info(MemTotal=8.5e9),
        info(ServerVersion=29),
        info(ServerVersion=["29"]),
        info(ServerVersion="29\n"),
        info(ServerVersion="9" * 101),
        info(Name=""),
        info(Name=None),
    ],
)
@pytest.mark.parametrize("speaks", [False, True])
def test_what_answers_but_not_as_docker_is_not_taken_for_it(
    path: Path, answer: bytes, speaks: bool
) -> None:
    with engine(path, answer, speaks=speaks):
        trouble = trouble_at(path)

    assert trouble == (
        f"DOCKER_SOCKET {path} answers, but not as Docker does: set DOCKER_SOCKET to Docker's"
        " socket."
    )


def test_an_engine_in_trouble_points_to_its_log(path: Path) -> None:
    secret = canary("what the engine says")
    with engine(path, http(b'{"message":"%s"}' % secret.encode(), "500 Internal Server Error")):
        trouble = trouble_at(path)

    assert f"{path} answers with HTTP 500: look into Docker's log" in trouble
    assert secret not in trouble
