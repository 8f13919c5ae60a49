import os
import socket
import subprocess
import sys

import pytest

from adapters.system.port_probe import SystemPortProbe
from application.ports.probes.port_probe import PortState, PortStatus
from tests.support.processes import free_address


def check(address: str) -> PortStatus:
    return SystemPortProbe().check(address)


def test_a_free_port_stays_free_after_the_check() -> None:
    address = free_address()

    assert check(address) == check(address) == PortStatus(PortState.FREE)


def test_a_port_that_was_just_released_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with socket.create_connection(listener.getsockname()):
            # The side that closes first lingers in TIME_WAIT.
            listener.accept()[0].close()

    assert check(address).state is PortState.FREE


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_the_owner_of_a_taken_port_is_named(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        status = check(f"{host}:{listener.getsockname()[1]}")

    assert status.state is PortState.TAKEN
    assert f"(pid {os.getpid()})" in status.owner


def test_the_owner_of_the_port_at_another_address_is_not_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = (
            "import socket, sys\n"
            f"with socket.create_server(('127.0.0.2', {port})):\n"
            "    print('listens', flush=True)\n"
            "    sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout
            other.stdout.readline()
            owners = [check(f"{host}:{port}").owner for host in ("127.0.0.1", "127.0.0.2")]
            other.communicate()

    assert f"(pid {os.getpid()})" in owners[0]
    assert f"(pid {other.pid})" in owners[1]


def test_no_owner_is_named_if_only_the_port_of_another_address_is_visible() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as unseen:
        port = listener.getsockname()[1]
        # A socket that is bound and does not listen is in no list.
        unseen.bind(("127.0.0.2", port))

        assert check(f"127.0.0.2:{port}") == PortStatus(PortState.TAKEN, "another process")


@pytest.mark.parametrize("address", ["192.0.2.1:50051", "[2001:db8::1]:50051"])
def test_an_address_of_another_machine_is_elsewhere(address: str) -> None:
    assert check(address).state is PortState.ELSEWHERE


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b"])
def test_a_name_that_does_not_resolve_is_elsewhere(host: str) -> None:
    assert check(f"{host}:50051").state is PortState.ELSEWHERE
