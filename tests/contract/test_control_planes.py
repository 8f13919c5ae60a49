"""What a host can rely on, over each transport to the control plane."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from dependency_injector import providers

from adapters.amqp.batch_consumer import BatchConsumer
from adapters.amqp.broker import Broker
from adapters.amqp.control_plane import AmqpControlPlane
from adapters.amqp.heartbeat_handler import HeartbeatHandler
from adapters.amqp.rpc_handler import RpcHandler
from adapters.amqp.topology import CALLS, REPORTS
from adapters.grpc.client.host.control_plane import GrpcControlPlane
from adapters.memory.control_plane import MemoryControlPlane
from adapters.memory.store import MemoryStore
from adapters.system.new_key import new_key
from application.access.host_credentials import DEFAULT_LIFETIME
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.host.key_ring import KeyRing
from application.join_keys.create_join_key import CreateJoinKey
from application.join_keys.revoke_join_key import RevokeJoinKey
from application.ports.host.control_plane import (
    ControlPlane,
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    HeartbeatResult,
    RegistrationRequest,
    RegistrationResult,
)
from domain.approval import Approval
from domain.capabilities import Capabilities
from domain.conflict import Conflict, Resolution
from domain.enforcement import ENFORCE_ALL, Enforcement, Mode, Switch
from domain.errors import (
    CredentialRequired,
    InvalidRegistrationKey,
    JoinKeyRefused,
    NameInUse,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
)
from domain.join_key import NewJoinKey
from domain.liveness import Status
from domain.machine_evidence import Evidence
from domain.registration_rules import RegistrationRules
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from tests.support.builders import CAPABILITIES, SECOND
from tests.support.canary_secrets import almost, canary
from tests.support.fleet import Fleet, admitting_keys

KEY = f"{canary('registration key')} ✓"
INTERVAL = timedelta(seconds=15)
HERE = Evidence("a" * 32, "b" * 32, "c" * 32, "d" * 32, "1" * 32)
# A clone of the disk.
ELSEWHERE = replace(HERE, hardware_id="e" * 32, boot_id="f" * 32, instance_id="3" * 32)


CREDENTIALS = Enforcement({Switch.CREDENTIAL: Mode.ENFORCE})


def over_each(enforcement: Enforcement) -> list[Any]:
    """Parameters of the fixture `transport`."""
    return [pytest.param((way, enforcement), id=way) for way in ("grpc", "amqp", "memory")]


@dataclass(frozen=True)
class Transport:
    """A fleet, and a transport for hosts to reach it."""

    fleet: Fleet
    connect: Callable[[KeyRing], ControlPlane]

    def host(self, *keys: str) -> ControlPlane:
        return self.connect(KeyRing(lambda: keys or (KEY,)))

    def host_with(self, credential: str) -> ControlPlane:
        """A host without a key."""
        return self.connect(KeyRing(lambda: (), credential))


@pytest.fixture(params=over_each(ENFORCE_ALL))
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """The parameter is the name of the transport and what the API enforces."""
    way, enforcement = request.param
    fleet = Fleet(MemoryStore(), rules=RegistrationRules(enforcement=enforcement))
    authenticate_host = replace(admitting_keys(KEY), credentials=fleet.credentials)
    fleet.register = replace(fleet.register, authenticate_host=authenticate_host)
    fleet.deregister = replace(fleet.deregister, authenticate_host=authenticate_host)
    fetch = FetchConfiguration(fleet.store, fleet.clock, authenticate_host)
    with ExitStack() as stack:
        if way == "grpc":
            port = stack.enter_context(serving(container_of(fleet, enforcement)))

            def connect(keys: KeyRing) -> ControlPlane:
                return closed_at_the_end(GrpcControlPlane(f"127.0.0.1:{port}", keys))

        elif way == "amqp":
            broker = Broker(request.getfixturevalue("rabbitmq_url"))
            consumers = (
                BatchConsumer(broker, REPORTS, HeartbeatHandler(fleet.heartbeat)),
                BatchConsumer(broker, CALLS, RpcHandler(fleet.register, fetch, fleet.deregister)),
            )
            for consumer in consumers:
                stack.enter_context(running(consumer))
            # Stop all before waiting for one: each takes half a second to notice.
            for consumer in consumers:
                stack.callback(consumer.stop)

            def connect(keys: KeyRing) -> ControlPlane:
                return closed_at_the_end(AmqpControlPlane(broker, keys))

        else:

            def connect(keys: KeyRing) -> ControlPlane:
                return MemoryControlPlane(
                    fleet.register, fleet.heartbeat, fetch, fleet.deregister, keys
                )

        def closed_at_the_end(host: Any) -> ControlPlane:
            stack.callback(host.close)
            return host  # type: ignore[no-any-return]

        yield Transport(fleet, connect)


def container_of(fleet: Fleet, enforcement: Enforcement) -> ApiContainer:
    settings = ApiSettings(
        database_url=Secret(IN_MEMORY),
        listen_address="127.0.0.1:0",
        registration_key=Secret(KEY),
        enforcement=enforcement,
    )
    container = ApiContainer(settings=settings)
    container.store.override(providers.Object(fleet.store))
    container.clock.override(providers.Object(fleet.clock))
    return container


@contextmanager
def running(consumer: BatchConsumer) -> Iterator[None]:
    listening = threading.Event()
    consumer.on_listening = lambda listens: listening.set() if listens else None
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        assert listening.wait(60)
        yield
    finally:
        consumer.stop()
        thread.join()


def registration_request(name: str, **others: Any) -> RegistrationRequest:
    return RegistrationRequest(name, **{"capabilities": CAPABILITIES, **others})


def without_credential(joined: RegistrationResult) -> RegistrationResult:
    """The result without its credential, which differs in each answer."""
    assert joined.credential
    return replace(joined, credential="")


def test_a_host_that_joins_again_keeps_its_id(transport: Transport) -> None:
    host = transport.host()
    first = without_credential(host.register(registration_request("web", environment="production")))
    again = without_credential(transport.host().register(registration_request("web")))
    server = transport.fleet.get(first.server_id)

    assert first == RegistrationResult(first.server_id, INTERVAL, 0, name="web", epoch=1)
    assert again == replace(first, epoch=2)
    assert (server.name, server.environment) == ("web", "production")
    assert server.capabilities == CAPABILITIES


def test_a_host_reports_its_labels_and_that_it_is_ephemeral(transport: Transport) -> None:
    host = transport.host()
    labels = {"region": "nyc", "tier": "gold"}
    joined = host.register(registration_request("web", labels=labels, ephemeral=True))
    labelled = transport.fleet.get(joined.server_id)
    host.register(registration_request("web"))
    plain = transport.fleet.get(joined.server_id)

    assert (labelled.labels.of_host, labelled.ephemeral) == (labels, True)
    assert (plain.labels.of_host, plain.ephemeral) == ({}, False)


def test_another_machine_does_not_get_a_name_in_use_and_learns_which_server_has_it(
    transport: Transport,
) -> None:
    joined = transport.host().register(registration_request("web", evidence=HERE))
    clone = transport.host()

    with pytest.raises(NameInUse) as caught:
        clone.register(registration_request("web", evidence=ELSEWHERE))
    assert f"the name 'web' is held by server {joined.server_id}, another machine" in str(
        caught.value
    )
    assert "set another SERVER_NAME or ENVIRONMENT" in str(caught.value)


def test_a_machine_joins_again_after_a_reboot(transport: Transport) -> None:
    host = transport.host()
    first = without_credential(host.register(registration_request("web", evidence=HERE)))
    rebooted = replace(HERE, boot_id="f" * 32, instance_id="2" * 32)
    again = without_credential(host.register(registration_request("web", evidence=rebooted)))

    assert again == replace(first, epoch=2)


def test_a_superseded_process_learns_it_and_does_not_set_the_server_offline(
    transport: Transport,
) -> None:
    host = transport.host()
    first = host.register(registration_request("web", evidence=HERE))
    later = transport.host()
    second = later.register(
        registration_request("web", evidence=replace(HERE, instance_id="2" * 32))
    )
    server_id = first.server_id

    with pytest.raises(
        SupersededRegistration, match=f"^server {server_id} was registered again by "
    ):
        host.heartbeat(server_id, CAPABILITIES, epoch=first.epoch)
    with pytest.raises(SupersededRegistration):
        host.heartbeat(server_id, None, epoch=first.epoch, leaving=True)
    assert transport.fleet.get(server_id).presence.status is Status.ONLINE
    assert later.heartbeat(server_id, None, epoch=second.epoch) == HeartbeatResult(INTERVAL, 0)


def test_a_heartbeat_without_an_epoch_is_accepted(transport: Transport) -> None:
    host = transport.host()
    joined = host.register(registration_request("web"))
    host.register(registration_request("web"))

    assert host.heartbeat(joined.server_id, None, epoch=0) == HeartbeatResult(INTERVAL, 0)


def test_a_rejected_host_gets_the_reason(transport: Transport) -> None:
    host = transport.host()
    joined = host.register(registration_request("web"))
    transport.fleet.reject(joined.server_id, "nobody knows it")
    words = rf"^server {joined.server_id} \(web\) was rejected by an operator: nobody knows it$"

    with pytest.raises(NotAdmitted, match=words):
        transport.host_with(joined.credential).heartbeat(joined.server_id, None)
    with pytest.raises(NotAdmitted, match=words):
        host.register(registration_request("web"))


def test_a_host_is_pending_until_an_operator_approves_it(
    transport: Transport,
) -> None:
    host = transport.host()
    server_id = host.register(registration_request("web")).server_id
    PutConfiguration(transport.fleet.store, transport.fleet.clock)(server_id, "a", "{}")
    with transport.fleet.store.begin() as transaction:
        server = transaction.servers.get(server_id, lock=True)
        transaction.servers.save(replace(server, approval=Approval.PENDING))
    again = host.register(registration_request("web"))

    assert (again.approval, again.config_revision) == (Approval.PENDING, 0)
    assert host.heartbeat(server_id, None) == HeartbeatResult(INTERVAL, 0, Approval.PENDING)
    transport.fleet.approve(server_id)
    result = host.heartbeat(server_id, None)
    assert result.approval is Approval.APPROVED
    assert result.config_revision > 0


def test_a_host_that_an_operator_renamed_gets_its_new_name(transport: Transport) -> None:
    fleet = transport.fleet
    transport.host().register(registration_request("web", evidence=HERE))
    other = transport.host()
    with pytest.raises(NameInUse):
        other.register(registration_request("web", evidence=ELSEWHERE))
    [conflict] = conflicts_of(fleet, "web")
    fleet.resolve(conflict.conflict_id, Resolution.RENAME, "web-2")

    assert other.register(registration_request("web", evidence=ELSEWHERE)).name == "web-2"


def conflicts_of(fleet: Fleet, name: str) -> Sequence[Conflict]:
    with fleet.store.begin() as transaction:
        return transaction.conflicts.of_name(name)


def test_a_host_that_deregisters_is_gone(transport: Transport) -> None:
    host = transport.host()
    joined = host.register(registration_request("web", evidence=HERE))
    host.deregister(joined.server_id, HERE.instance_id)

    with pytest.raises(ServerNotFound):
        transport.fleet.get(joined.server_id)
    with pytest.raises(ServerNotFound):
        host.deregister(joined.server_id, HERE.instance_id)


def test_only_the_last_process_of_a_host_deregisters_it_and_only_with_the_key(
    transport: Transport,
) -> None:
    host = transport.host()
    joined = host.register(registration_request("web", evidence=HERE))
    host.register(registration_request("web", evidence=replace(HERE, instance_id="2" * 32)))

    with pytest.raises(SupersededRegistration, match="was registered again by"):
        host.deregister(joined.server_id, HERE.instance_id)
    with pytest.raises(InvalidRegistrationKey):
        transport.host("").deregister(joined.server_id, "2" * 32)
    assert transport.fleet.get(joined.server_id).name == "web"


def test_a_heartbeat_is_durable_when_it_is_answered(transport: Transport) -> None:
    host = transport.host()
    joined = host.register(registration_request("web"))
    transport.fleet.clock.advance(INTERVAL)
    fewer = replace(CAPABILITIES, available_memory_mb=7)
    result = host.heartbeat(joined.server_id, fewer)
    server = transport.fleet.get(joined.server_id)

    assert result == HeartbeatResult(INTERVAL, config_revision=0)
    assert server.presence.last_seen == transport.fleet.clock.now()
    assert server.capabilities == fewer


def test_a_heartbeat_without_capabilities_keeps_the_last_ones(transport: Transport) -> None:
    host = transport.host()
    joined = host.register(registration_request("web"))
    host.heartbeat(joined.server_id, None)

    assert transport.fleet.get(joined.server_id).capabilities == CAPABILITIES


def test_a_leaving_host_is_offline_and_a_returning_host_online(transport: Transport) -> None:
    host = transport.host()
    joined = host.register(registration_request("web"))
    host.heartbeat(joined.server_id, None, leaving=True)

    assert transport.fleet.get(joined.server_id).presence.status is Status.OFFLINE
    host.heartbeat(joined.server_id, None)
    assert transport.fleet.get(joined.server_id).presence.status is Status.ONLINE


@pytest.mark.parametrize("key", almost(KEY))
def test_a_wrong_key_gives_access_to_nothing(transport: Transport, key: str) -> None:
    joined = transport.host().register(registration_request("web"))
    stranger = transport.host(key)

    with pytest.raises(InvalidRegistrationKey):
        stranger.register(registration_request("db"))
    with pytest.raises(InvalidRegistrationKey):
        stranger.fetch_configuration(joined.server_id, 0)
    assert [server.name for server in transport.fleet.list(size=100).servers] == ["web"]


def test_a_host_with_several_keys_uses_the_one_that_the_api_accepts(transport: Transport) -> None:
    host = transport.host(canary("new key"), KEY, canary("newer key"))
    joined = host.register(registration_request("web", evidence=HERE))
    PutConfiguration(transport.fleet.store, transport.fleet.clock)(joined.server_id, "a", "{}")
    changes = host.fetch_configuration(joined.server_id, 0)
    host.deregister(joined.server_id, HERE.instance_id)

    assert changes.names == ["a"]
    with pytest.raises(ServerNotFound):
        transport.fleet.get(joined.server_id)


def test_a_host_learns_when_its_join_key_no_longer_admits_it(
    transport: Transport,
) -> None:
    fleet = transport.fleet
    create = CreateJoinKey(fleet.store, fleet.clock, new_key, fleet.register.authenticate_host)
    made = create(NewJoinKey(environment="prod", uses=1), "anna")
    host = transport.host(str(made.plaintext_key))
    joined = host.register(registration_request("web", evidence=HERE))
    words = f"^the join key {made.key.key_id} has already admitted 1 server, its maximum$"

    assert fleet.get(joined.server_id).environment == "prod"
    assert host.fetch_configuration(joined.server_id, 0).names == []
    with pytest.raises(NotAdmitted, match=words):
        host.register(registration_request("db"))
    with pytest.raises(InvalidRegistrationKey):
        transport.host(f"{made.key.key_id}.{canary('join key')}").register(
            registration_request("db")
        )
    RevokeJoinKey(fleet.store, fleet.clock)(made.key.key_id)
    words = f"^the join key {made.key.key_id} was revoked$"
    with pytest.raises(NotAdmitted, match=words):
        host.register(registration_request("web", evidence=HERE))
    with pytest.raises(NotAdmitted, match=words):
        host.fetch_configuration(joined.server_id, 0)
    with pytest.raises(NotAdmitted, match=words):
        host.deregister(joined.server_id, HERE.instance_id)


@pytest.mark.parametrize("becomes_of_it", ["used up", "revoked", "expired", "of another name"])
def test_after_a_refused_join_key_the_host_tries_its_other_keys(
    transport: Transport, becomes_of_it: str
) -> None:
    fleet = transport.fleet
    create = CreateJoinKey(fleet.store, fleet.clock, new_key, fleet.register.authenticate_host)
    pattern = "db" if becomes_of_it == "of another name" else ""
    made = create(NewJoinKey(uses=1, expires_in_seconds=60, name_pattern=pattern), "anna")
    if becomes_of_it == "used up":
        transport.host(str(made.plaintext_key)).register(registration_request("first"))
    elif becomes_of_it == "revoked":
        RevokeJoinKey(fleet.store, fleet.clock)(made.key.key_id)
    elif becomes_of_it == "expired":
        fleet.clock.advance(60 * SECOND)
    host = transport.host(str(made.plaintext_key), KEY)
    joined = host.register(registration_request("web", evidence=HERE))

    assert fleet.get(joined.server_id).name == "web"
    assert (
        transport.host(str(made.plaintext_key), KEY).fetch_configuration(joined.server_id, 0).names
        == []
    )
    with pytest.raises(JoinKeyRefused, match=f"^the join key {made.key.key_id} "):
        transport.host(canary("other key"), str(made.plaintext_key)).register(
            registration_request("cache")
        )


def test_a_host_that_an_operator_refuses_tries_no_other_key(transport: Transport) -> None:
    joined = transport.host().register(registration_request("web", evidence=HERE))
    transport.fleet.ban(joined.server_id)
    keys = Counting([KEY, canary("other key")])

    with pytest.raises(NotAdmitted) as refused:
        transport.connect(KeyRing(keys)).register(registration_request("web", evidence=HERE))
    assert not isinstance(refused.value, JoinKeyRefused)
    assert keys.asked == 1


@dataclass
class Counting:
    """Counts how often the host reads its keys, which it does before each try."""

    keys: Sequence[str]
    asked: int = 0

    def __call__(self) -> Sequence[str]:
        self.asked += 1
        return self.keys


def test_with_its_credential_a_host_needs_no_key(transport: Transport) -> None:
    joined = transport.host().register(registration_request("web", evidence=HERE))
    PutConfiguration(transport.fleet.store, transport.fleet.clock)(joined.server_id, "a", "{}")
    again = replace(HERE, instance_id="2" * 32)
    host = transport.host_with(joined.credential)

    joined_again = host.register(registration_request("web", evidence=again))
    with pytest.raises(InvalidRegistrationKey):
        host.register(registration_request("db"))
    # The credential of an earlier registration is valid only for registering again.
    with pytest.raises(InvalidRegistrationKey):
        host.fetch_configuration(joined.server_id, 0)
    host = transport.host_with(joined_again.credential)
    assert joined_again.server_id == joined.server_id
    assert host.fetch_configuration(joined.server_id, 0).names == ["a"]
    host.deregister(joined.server_id, again.instance_id)
    with pytest.raises(ServerNotFound):
        transport.fleet.get(joined.server_id)


def test_the_credential_of_another_server_gives_access_to_nothing(transport: Transport) -> None:
    db = transport.host().register(registration_request("db"))
    web = transport.host().register(registration_request("web", evidence=HERE))
    host = transport.host_with(db.credential)

    with pytest.raises(InvalidRegistrationKey):
        host.register(registration_request("web", evidence=HERE))
    with pytest.raises(InvalidRegistrationKey):
        host.fetch_configuration(web.server_id, 0)
    with pytest.raises(InvalidRegistrationKey):
        host.deregister(web.server_id, HERE.instance_id)
    assert transport.fleet.get(web.server_id).epoch == 1


def test_after_a_takeover_the_credential_of_the_old_machine_is_void(
    transport: Transport,
) -> None:
    joined = transport.host().register(registration_request("web", evidence=HERE))
    server_id, before = joined.server_id, transport.host_with(joined.credential)
    before.heartbeat(server_id, None, leaving=True)
    later = transport.host().register(registration_request("web", evidence=ELSEWHERE))
    after = transport.host_with(later.credential)

    for epoch in (0, joined.epoch, later.epoch):
        with pytest.raises(
            SupersededRegistration, match="by another host manager: stop one of the two"
        ):
            before.heartbeat(server_id, None, epoch=epoch)
    with pytest.raises(InvalidRegistrationKey):
        before.fetch_configuration(server_id, 0)
    with pytest.raises(InvalidRegistrationKey):
        before.deregister(server_id, ELSEWHERE.instance_id)
    with pytest.raises(InvalidRegistrationKey):
        before.register(registration_request("web"))
    assert after.heartbeat(server_id, None) == HeartbeatResult(INTERVAL, 0)
    assert after.fetch_configuration(server_id, 0).names == []


def test_a_credential_is_renewed_by_a_heartbeat_after_half_of_its_life(
    transport: Transport,
) -> None:
    joined = transport.host().register(registration_request("web"))
    host = transport.host_with(joined.credential)
    early = host.heartbeat(joined.server_id, None)
    transport.fleet.clock.advance(DEFAULT_LIFETIME / 2 + SECOND)
    due = host.heartbeat(joined.server_id, None)
    # As if this answer was lost.
    lost = host.heartbeat(joined.server_id, None)
    renewed = transport.host_with(due.credential)
    transport.fleet.clock.advance(DEFAULT_LIFETIME / 2 - SECOND)

    assert early.credential == ""
    assert len({joined.credential, due.credential, lost.credential}) == 3
    assert renewed.heartbeat(joined.server_id, None).credential == ""
    assert renewed.register(registration_request("web")).server_id == joined.server_id
    with pytest.raises(InvalidRegistrationKey):
        host.register(registration_request("web"))


@pytest.mark.parametrize("transport", over_each(CREDENTIALS), indirect=True)
def test_where_credentials_are_enforced_a_heartbeat_requires_its_server_s_credential(
    transport: Transport,
) -> None:
    db = transport.host().register(registration_request("db"))
    web = transport.host().register(registration_request("web"))
    last_seen = transport.fleet.get(web.server_id).presence
    transport.fleet.clock.advance(SECOND)

    for credential in ("", db.credential, f"{web.credential}x"):
        host = transport.host_with(credential)
        with pytest.raises(CredentialRequired):
            host.heartbeat(web.server_id, CAPABILITIES)
        with pytest.raises(CredentialRequired):
            host.heartbeat(web.server_id, None, leaving=True)
    assert transport.fleet.get(web.server_id).presence == last_seen
    host = transport.host_with(web.credential)
    assert host.heartbeat(web.server_id, None) == HeartbeatResult(INTERVAL, 0)
    host.heartbeat(web.server_id, None, leaving=True)
    assert transport.fleet.get(web.server_id).presence.status is Status.OFFLINE


@pytest.mark.parametrize("server_id", [4711, 0, -1, 2**63 - 1, -(2**63) + 1])
def test_a_host_with_an_unknown_id_gets_an_error(transport: Transport, server_id: int) -> None:
    host = transport.host()

    with pytest.raises(ServerNotFound):
        host.heartbeat(server_id, CAPABILITIES)
    with pytest.raises(ServerNotFound):
        host.heartbeat(server_id, None, leaving=True)
    with pytest.raises(ServerNotFound):
        host.fetch_configuration(server_id, 0)


@pytest.mark.parametrize("name", ["", " web", "x" * 256, "a\x00b"])
def test_an_invalid_name_is_refused_with_a_sentence(transport: Transport, name: str) -> None:
    with pytest.raises(ControlPlaneRefused, match="name "):
        transport.host().register(registration_request(name))


def test_impossible_capabilities_are_refused_with_a_sentence(transport: Transport) -> None:
    host = transport.host()
    joined = host.register(registration_request("web"))
    nonsense = Capabilities(cpu_cores=-1)

    with pytest.raises(ControlPlaneRefused, match=r"capabilities\.cpu_cores is -1"):
        host.register(registration_request("db", capabilities=nonsense))
    with pytest.raises(ControlPlaneRefused, match=r"capabilities\.cpu_cores is -1"):
        host.heartbeat(joined.server_id, nonsense)
    assert transport.fleet.get(joined.server_id).capabilities == CAPABILITIES


def test_configuration_arrives_byte_for_byte(transport: Transport) -> None:
    host = transport.host()
    server_id = host.register(registration_request("web")).server_id
    put = PutConfiguration(transport.fleet.store, transport.fleet.clock)
    documents = {"a": '{"ü": "\\u0000 ✓"}\n', "b": "[" + "1," * 100_000 + "1]"}
    for name, document in documents.items():
        put(server_id, name, document)

    assert host.heartbeat(server_id, None).config_revision == 2
    changes = host.fetch_configuration(server_id, 0)
    assert {found.name: found.document for found in changes.changed} == documents
    assert (sorted(changes.names), changes.revision, changes.more) == (["a", "b"], 2, False)
    for later in (
        host.fetch_configuration(server_id, 1),
        # The second part of an answer to a host that knew nothing.
        host.fetch_configuration(server_id, 0, 1),
    ):
        assert [(found.name, found.revision) for found in later.changed] == [("b", 2)]


def test_an_unavailable_store_is_a_temporary_failure(transport: Transport) -> None:
    host = transport.host()
    joined = host.register(registration_request("web"))
    transport.fleet.store.is_unavailable = True
    try:
        with pytest.raises(ControlPlaneUnavailable):
            host.register(registration_request("db"))
        with pytest.raises(ControlPlaneUnavailable):
            host.heartbeat(joined.server_id, CAPABILITIES)
    finally:
        transport.fleet.store.is_unavailable = False

    assert host.heartbeat(joined.server_id, CAPABILITIES).next_heartbeat == INTERVAL
    assert host.register(registration_request("db")).server_id > joined.server_id
