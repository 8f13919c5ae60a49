import os
import socket

import pytest

from adapters.system.port_probe import SystemPortProbe
from application.ports.port_probe import PortFound, PortState
from tests.e2e.processes import free_address


def look(address: str) -> PortFound:
    return SystemPortProbe().look(address)


def test_a_free_port_is_free_and_stays_so() -> None:
    address = free_address()

    assert look(address) == look(address) == PortFound(PortState.FREE)


def test_a_port_that_was_just_given_up_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with socket.create_connection(listener.getsockname()):
            # Whoever hangs up first lingers.
            listener.accept()[0].close()

    assert look(address).state is PortState.FREE


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_port_that_is_taken_is_told_with_who_has_it(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = look(f"{host}:{listener.getsockname()[1]}")

    assert found.state is PortState.TAKEN
    assert f"(pid {os.getpid()})" in found.owner


@pytest.mark.parametrize("address", ["192.0.2.1:50051", "[2001:db8::1]:50051"])
def test_an_address_of_another_machine_is_elsewhere(address: str) -> None:
    assert look(address).state is PortState.ELSEWHERE


def test_a_name_that_does_not_resolve_is_elsewhere() -> None:
    assert look("no.such.host.invalid:50051").state is PortState.ELSEWHERE
