"""What a host may expect of the control plane, over whatever transport."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from dependency_injector import providers

from adapters.amqp.broker import Broker
from adapters.amqp.calls import Calls
from adapters.amqp.control_plane import AmqpControlPlane
from adapters.amqp.inbox import Inbox
from adapters.amqp.reports import Reports
from adapters.amqp.topology import CALLS, REPORTS
from adapters.grpc.control_plane import GrpcControlPlane
from adapters.memory.control_plane import MemoryControlPlane
from adapters.memory.store import MemoryStore
from application.fetch_configuration import FetchConfiguration
from application.ports.control_plane import (
    ControlPlane,
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    Heard,
    Joined,
)
from application.put_configuration import PutConfiguration
from domain.capabilities import Capabilities
from domain.errors import InvalidRegistrationKey, ServerNotFound
from domain.liveness import Status
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from tests.builders import CAPABILITIES
from tests.fleet import Fleet
from tests.planted import almost, planted

KEY = f"{planted('registration key')} ✓"
INTERVAL = timedelta(seconds=15)


@dataclass(frozen=True)
class Transport:
    """A fleet and a way for hosts to talk to it."""

    fleet: Fleet
    connect: Callable[[str], ControlPlane]

    def host(self, key: str = KEY) -> ControlPlane:
        return self.connect(key)


@pytest.fixture(params=["grpc", "amqp", "memory"])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    fleet = Fleet(MemoryStore())
    fleet.register = replace(fleet.register, registration_key=KEY)
    fetch = FetchConfiguration(fleet.store, registration_key=KEY)
    with ExitStack() as stack:
        if request.param == "grpc":
            port = stack.enter_context(serving(container_of(fleet)))

            def connect(key: str) -> ControlPlane:
                return closed_at_the_end(GrpcControlPlane(f"127.0.0.1:{port}", key))

        elif request.param == "amqp":
            broker = Broker(request.getfixturevalue("rabbitmq_url"))
            for inbox in (
                Inbox(broker, REPORTS, Reports(fleet.heartbeat)),
                Inbox(broker, CALLS, Calls(fleet.register, fetch)),
            ):
                stack.enter_context(running(inbox))

            def connect(key: str) -> ControlPlane:
                return closed_at_the_end(AmqpControlPlane(broker, key))

        else:

            def connect(key: str) -> ControlPlane:
                return MemoryControlPlane(fleet.register, fleet.heartbeat, fetch, key)

        def closed_at_the_end(host: Any) -> ControlPlane:
            stack.callback(host.close)
            return host  # type: ignore[no-any-return]

        yield Transport(fleet, connect)


def container_of(fleet: Fleet) -> ApiContainer:
    settings = ApiSettings(
        database_url=Secret(IN_MEMORY),
        listen_address="127.0.0.1:0",
        registration_key=Secret(KEY),
    )
    container = ApiContainer(settings=settings)
    container.store.override(providers.Object(fleet.store))
    container.clock.override(providers.Object(fleet.clock))
    return container


@contextmanager
def running(inbox: Inbox) -> Iterator[None]:
    listening = threading.Event()
    inbox.listens = lambda listens: listening.set() if listens else None
    thread = threading.Thread(target=inbox.run)
    thread.start()
    try:
        assert listening.wait(20)
        yield
    finally:
        inbox.stop()
        thread.join()


def test_a_host_joins_and_joins_again_under_the_same_id(transport: Transport) -> None:
    host = transport.host()
    first = host.register("web", "production", CAPABILITIES)
    again = transport.host().register("web", "", CAPABILITIES)
    server = transport.fleet.get(first.server_id)

    assert first == again == Joined(first.server_id, INTERVAL, config_revision=0)
    assert (server.name, server.environment) == ("web", "production")
    assert server.capabilities == CAPABILITIES


def test_a_heartbeat_is_durable_when_it_is_answered(transport: Transport) -> None:
    host = transport.host()
    joined = host.register("web", "", CAPABILITIES)
    transport.fleet.clock.advance(INTERVAL)
    fewer = replace(CAPABILITIES, available_memory_mb=7)
    heard = host.heartbeat(joined.server_id, fewer)
    server = transport.fleet.get(joined.server_id)

    assert heard == Heard(INTERVAL, config_revision=0)
    assert server.presence.last_seen == transport.fleet.clock.now()
    assert server.capabilities == fewer


def test_a_heartbeat_without_a_report_keeps_the_last_one(transport: Transport) -> None:
    host = transport.host()
    joined = host.register("web", "", CAPABILITIES)
    host.heartbeat(joined.server_id, None)

    assert transport.fleet.get(joined.server_id).capabilities == CAPABILITIES


def test_who_leaves_is_offline_and_who_speaks_again_is_online(transport: Transport) -> None:
    host = transport.host()
    joined = host.register("web", "", CAPABILITIES)
    host.heartbeat(joined.server_id, None, leaving=True)

    assert transport.fleet.get(joined.server_id).presence.status is Status.OFFLINE
    host.heartbeat(joined.server_id, None)
    assert transport.fleet.get(joined.server_id).presence.status is Status.ONLINE


@pytest.mark.parametrize("key", almost(KEY))
def test_another_key_opens_nothing(transport: Transport, key: str) -> None:
    joined = transport.host().register("web", "", CAPABILITIES)
    stranger = transport.host(key)

    with pytest.raises(InvalidRegistrationKey):
        stranger.register("db", "", CAPABILITIES)
    with pytest.raises(InvalidRegistrationKey):
        stranger.fetch_configuration(joined.server_id, 0)
    assert [server.name for server in transport.fleet.list(size=100).servers] == ["web"]


@pytest.mark.parametrize("server_id", [4711, 0, -1, 2**63 - 1, -(2**63) + 1])
def test_who_is_unknown_is_told_so(transport: Transport, server_id: int) -> None:
    host = transport.host()

    with pytest.raises(ServerNotFound):
        host.heartbeat(server_id, CAPABILITIES)
    with pytest.raises(ServerNotFound):
        host.heartbeat(server_id, None, leaving=True)
    with pytest.raises(ServerNotFound):
        host.fetch_configuration(server_id, 0)


@pytest.mark.parametrize("name", ["", " web", "x" * 256, "a\x00b"])
def test_a_name_against_the_rules_is_refused_in_words(transport: Transport, name: str) -> None:
    with pytest.raises(ControlPlaneRefused, match="name "):
        transport.host().register(name, "", CAPABILITIES)


def test_capabilities_that_no_machine_has_are_refused_in_words(transport: Transport) -> None:
    host = transport.host()
    joined = host.register("web", "", CAPABILITIES)
    nonsense = Capabilities(cpu_cores=-1)

    with pytest.raises(ControlPlaneRefused, match=r"capabilities\.cpu_cores is -1"):
        host.register("db", "", nonsense)
    with pytest.raises(ControlPlaneRefused, match=r"capabilities\.cpu_cores is -1"):
        host.heartbeat(joined.server_id, nonsense)
    assert transport.fleet.get(joined.server_id).capabilities == CAPABILITIES


def test_configuration_arrives_to_the_byte(transport: Transport) -> None:
    host = transport.host()
    server_id = host.register("web", "", CAPABILITIES).server_id
    put = PutConfiguration(transport.fleet.store, transport.fleet.clock)
    documents = {"a": '{"ü": "\\u0000 ✓"}\n', "b": "[" + "1," * 100_000 + "1]"}
    for name, document in documents.items():
        put(server_id, name, document)

    assert host.heartbeat(server_id, None).config_revision == 2
    changes = host.fetch_configuration(server_id, 0)
    assert {found.name: found.document for found in changes.changed} == documents
    assert (sorted(changes.names), changes.revision, changes.more) == (["a", "b"], 2, False)
    later = host.fetch_configuration(server_id, 1)
    assert [(found.name, found.revision) for found in later.changed] == [("b", 2)]


def test_a_store_that_is_away_is_said_to_pass(transport: Transport) -> None:
    host = transport.host()
    joined = host.register("web", "", CAPABILITIES)
    transport.fleet.store.is_away = True
    try:
        with pytest.raises(ControlPlaneUnavailable):
            host.register("db", "", CAPABILITIES)
        with pytest.raises(ControlPlaneUnavailable):
            host.heartbeat(joined.server_id, CAPABILITIES)
    finally:
        transport.fleet.store.is_away = False

    assert host.heartbeat(joined.server_id, CAPABILITIES).next_heartbeat == INTERVAL
    assert host.register("db", "", CAPABILITIES).server_id > joined.server_id
