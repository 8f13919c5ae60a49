import contextlib
import json
import os
import socket
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

LOCAL_MACHINE = MachineReport(
    "container-id",
    Capabilities(
        total_memory_mb=65536,
        available_memory_mb=2048,
        cpu_cores=16,
        available_cpu_millicores=1500,
    ),
)
INFO = {"Name": "mars", "MemTotal": 8 * 2**30 + 4096, "NCPU": 4, "ServerVersion": "29.1.2"}


# A busy machine may take long to answer.
PATIENT_SECONDS = 60.0
IMPATIENT_SECONDS = 0.3


@pytest.fixture
def path(short_folder: Path) -> Path:
    return short_folder / "docker.sock"


def docker_machine(
    path: Path, *, in_container: bool = False, timeout_seconds: float = PATIENT_SECONDS
) -> DockerMachine:
    local_machine = FakeMachine([LOCAL_MACHINE])
    return DockerMachine(
        path, local_machine, in_container=in_container, timeout_seconds=timeout_seconds
    )


def problem_at(path: Path, timeout_seconds: float = PATIENT_SECONDS) -> str:
    with pytest.raises(EngineUnavailable) as caught:
        docker_machine(path, timeout_seconds=timeout_seconds).report()
    return str(caught.value)


@contextmanager
def engine(path: Path, answer: bytes, *, is_docker: bool = False) -> Iterator[None]:
    """Answers every connection with these bytes.

    As Docker, it answers the question about the version that the SDK asks first.
    """

    def respond(connection: socket.socket) -> None:
        asks_version = b" /version " in connection.recv(4096)
        connection.sendall(VERSION if asks_version and is_docker else answer)

    with answering_socket(path, respond):
        yield


def http(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


VERSION = http(b'{"ApiVersion": "1.41"}')


def info(**other: object) -> bytes:
    return http(json.dumps(INFO | other).encode())


@contextmanager
def no_privileges() -> Iterator[None]:
    """Root has every permission, so root runs these lines as nobody."""
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65534)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)


# Reports


def test_a_real_engine_reports_what_the_machine_has(docker_engine: str) -> None:
    machine = DockerMachine(Path(docker_engine), FakeMachine([LOCAL_MACHINE]), in_container=True)
    with closing(docker.DockerClient(base_url=f"unix://{docker_engine}")) as client:
        expected = client.info()

    report = machine.report()

    assert report.hostname == expected["Name"]
    assert report.capabilities.cpu_cores == expected["NCPU"]
    assert report.capabilities.total_memory_mb == expected["MemTotal"] // 2**20
    assert report.capabilities.docker_version == expected["ServerVersion"]
    assert report.engine_id == expected["ID"] == machine.report().engine_id != ""


def test_docker_reports_the_totals_and_the_local_machine_what_is_free(path: Path) -> None:
    with engine(path, info(), is_docker=True):
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
    ("reported", "engine_id"),
    [
        ({"ID": "f4b5e7de-9b4f-4f6e-8f0c-8a4b5f1d2c3e"}, "f4b5e7de-9b4f-4f6e-8f0c-8a4b5f1d2c3e"),
        ({"ID": "7TRN:IPZB:QYBB:VPBQ:UMPP"}, "7TRN:IPZB:QYBB:VPBQ:UMPP"),
        ({}, ""),
        ({"ID": None}, ""),
        ({"ID": 7}, ""),
        ({"ID": "x" * 101}, ""),
        # Podman generates another id for each answer.
        ({"ID": "f4b5e7de-9b4f-4f6e-8f0c-8a4b5f1d2c3e", "BuildahVersion": "1.38.0"}, ""),
    ],
)
def test_only_a_constant_engine_id_is_reported(
    path: Path, reported: dict[str, object], engine_id: str
) -> None:
    with engine(path, info(**reported), is_docker=True):
        assert docker_machine(path).report().engine_id == engine_id


def test_in_a_container_the_hostname_is_that_of_the_machine(path: Path) -> None:
    with engine(path, info(), is_docker=True):
        report = docker_machine(path, in_container=True).report()

    assert report.hostname == "mars"


def test_free_resources_never_exceed_the_totals_of_docker(path: Path) -> None:
    with engine(path, info(MemTotal=2**30, NCPU=1), is_docker=True):
        capabilities = docker_machine(path).report().capabilities

    assert capabilities.available_memory_mb == 1024
    assert capabilities.available_cpu_millicores == 1000


def test_a_restarted_engine_is_found_again(path: Path) -> None:
    local_machine = FakeMachine([LOCAL_MACHINE, LOCAL_MACHINE])
    machine = DockerMachine(path, local_machine, in_container=False)
    with engine(path, info(ServerVersion="28"), is_docker=True):
        machine.report()
    with pytest.raises(EngineUnavailable):
        machine.report()

    with engine(path, info(ServerVersion="29"), is_docker=True):
        report = machine.report()

    assert report.capabilities.docker_version == "29"


# No engine


def test_the_error_of_a_missing_socket_says_what_to_do(path: Path) -> None:
    problem = problem_at(path)

    assert problem == (
        f"DOCKER_SOCKET {path} does not exist: start Docker, or set DOCKER_SOCKET to where its"
        " socket is."
    )


def test_a_path_below_a_file_does_not_exist(path: Path) -> None:
    path.touch()

    assert "does not exist" in problem_at(path / "docker.sock")


def test_a_file_is_not_a_socket(path: Path) -> None:
    path.touch()

    assert f"{path} is not a socket: " in problem_at(path)


def test_a_directory_is_not_a_socket(path: Path) -> None:
    path.mkdir()

    assert f"{path} is a directory: " in problem_at(path)


def test_a_path_that_is_too_long_for_a_socket_cannot_be_used(short_folder: Path) -> None:
    deep = short_folder / ("a" * 60) / ("b" * 60)
    deep.parent.mkdir()
    with engine(short_folder / "s", b""):
        (short_folder / "s").rename(deep)
        problem = problem_at(deep)
        deep.rename(short_folder / "s")

    assert f"{deep} cannot be used: " in problem


def test_a_name_that_is_too_long_for_a_file_cannot_be_used(short_folder: Path) -> None:
    path = short_folder / ("a" * 300)

    assert f"{path} cannot be used: " in problem_at(path)


def test_a_socket_without_a_listener_says_to_start_docker(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
        gone.listen()

    assert f"{path} exists but nothing listens on it: start Docker." in problem_at(path)


def test_the_error_of_a_socket_without_permission_names_user_and_group(path: Path) -> None:
    with engine(path, info(), is_docker=True):
        path.chmod(0)
        with no_privileges():
            problem = problem_at(path)
            uid = os.geteuid()

    assert f"{path} cannot be used by this user (uid {uid})" in problem
    assert "group" in problem


def test_a_directory_that_this_user_cannot_enter_is_a_permission_problem(path: Path) -> None:
    path.parent.chmod(0o400)
    with no_privileges():
        problem = problem_at(path)
    path.parent.chmod(0o700)

    assert "cannot be used by this user" in problem


def test_an_engine_that_never_answers_hangs(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        problem = problem_at(path, IMPATIENT_SECONDS)

    assert f"{path} does not answer within 0.3 seconds: Docker hangs, restart it." in problem


def test_an_engine_that_accepts_no_connection_hangs(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as full, contextlib.ExitStack() as waiting:
        full.bind(str(path))
        full.listen(0)
        waiting.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        problem = problem_at(path, IMPATIENT_SECONDS)

    assert "does not answer within 0.3 seconds" in problem


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
@pytest.mark.parametrize("is_docker", [False, True])
def test_an_answer_that_is_not_dockers_is_reported_as_such(
    path: Path, answer: bytes, is_docker: bool
) -> None:
    with engine(path, answer, is_docker=is_docker):
        problem = problem_at(path)

    assert problem == (
        f"DOCKER_SOCKET {path} answers, but is not Docker: set DOCKER_SOCKET to Docker's socket."
    )


def test_the_error_of_a_failing_engine_points_to_dockers_log(path: Path) -> None:
    secret = canary("answer of the engine")
    with engine(path, http(b'{"message":"%s"}' % secret.encode(), "500 Internal Server Error")):
        problem = problem_at(path)

    assert f"{path} answers with HTTP 500: see Docker's log" in problem
    assert secret not in problem
