from dataclasses import replace
from functools import partial

import pytest

from adapters.memory.store import MemoryStore
from application.liveness.record_heartbeat import Heartbeat
from application.ports.certificate_authority import AuthorityExpired
from application.ports.store.bans import Ban
from application.registration.register_server import RegisterServer, Registration
from domain.approval import Approval, ApprovalPolicy
from domain.capabilities import Capabilities
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import InvalidField, InvalidRegistrationKey, NotAdmitted
from domain.events import EventKind
from domain.liveness import Status, online_presence
from domain.machine_evidence import Evidence, Identity
from domain.registration_rules import RegistrationRules
from domain.server import Server
from domain.spiffe import Certified
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND, at_once, evidence
from tests.support.canary_secrets import almost, canary
from tests.support.certifying import RESTARTED, CertifyingFleet
from tests.support.fleet import Fleet, admitting_keys
from tests.support.operators import REQUEST

KEY = canary("registration key")


@pytest.fixture
def guarded(fleet: Fleet) -> RegisterServer:
    return replace(fleet.register, authenticate_host=admitting_keys(KEY))


def test_a_host_gets_a_server_of_its_own(fleet: Fleet) -> None:
    registered = fleet.register(Registration("web", "production", CAPABILITIES))

    assert registered.next_heartbeat == INTERVAL
    assert registered.server == Server(
        registered.server.server_id,
        "web",
        "production",
        presence=online_presence(NOW, INTERVAL),
        capabilities=CAPABILITIES,
        epoch=1,
    )
    assert fleet.get(registered.server.server_id) == registered.server


def test_a_restarted_host_keeps_its_server_id(fleet: Fleet) -> None:
    first = fleet.register(Registration("web")).server
    fleet.clock.advance(SECOND)
    again = fleet.register(Registration("web")).server

    assert again.server_id == first.server_id
    assert again.presence.last_seen == NOW + SECOND


def test_hosts_with_other_names_are_other_servers(fleet: Fleet) -> None:
    ids = {fleet.register(Registration(f"web-{n}")).server.server_id for n in range(5)}

    assert len(ids) == 5


def test_many_hosts_that_start_at_once_under_one_name_share_a_server(fleet: Fleet) -> None:
    registered = at_once([partial(fleet.register, Registration("web"))] * 64)

    assert len({one.server.server_id for one in registered}) == 1
    assert len(fleet.list(size=10).servers) == 1


def test_an_absent_environment_keeps_the_stored_one(fleet: Fleet) -> None:
    fleet.register(Registration("web", "production"))

    assert fleet.register(Registration("web")).server.environment == "production"
    assert fleet.register(Registration("web", "test")).server.environment == "test"


def test_absent_capabilities_keep_the_stored_ones(fleet: Fleet) -> None:
    fleet.register(Registration("web", capabilities=CAPABILITIES))
    server = fleet.register(Registration("web")).server

    assert server.capabilities == CAPABILITIES
    assert fleet.get(server.server_id).capabilities == CAPABILITIES


def test_present_capabilities_replace_the_stored_ones(fleet: Fleet) -> None:
    fleet.register(Registration("web", capabilities=CAPABILITIES))
    server = fleet.register(Registration("web", capabilities=Capabilities())).server

    assert fleet.get(server.server_id).capabilities == Capabilities()


def test_settings_of_operators_outlive_a_restart_of_the_host(fleet: Fleet) -> None:
    server = fleet.create("web", "production")
    with fleet.store.begin() as transaction:
        transaction.servers.save(replace(server, is_default=True, config_revision=5))
    registered = fleet.register(Registration("web")).server

    assert registered.server_id == server.server_id
    assert registered.is_default
    assert registered.config_revision == 5
    assert registered.environment == "production"


def test_a_host_that_left_is_online_once_it_registers_again(fleet: Fleet) -> None:
    server = fleet.register(Registration("web")).server
    fleet.pass_time(10 * INTERVAL)
    assert fleet.get(server.server_id).presence.status is Status.OFFLINE

    fleet.register(Registration("web"))

    assert fleet.get(server.server_id).presence.status is Status.ONLINE


def test_the_right_key_admits_a_host(fleet: Fleet, guarded: RegisterServer) -> None:
    registered = guarded(Registration("web", registration_key=KEY))

    assert fleet.get(registered.server.server_id) == registered.server


@pytest.mark.parametrize("key", [*almost(KEY), "\udcff"])
def test_a_wrong_key_leaves_no_trace(fleet: Fleet, guarded: RegisterServer, key: str) -> None:
    before = fleet.register(Registration("web", "production", CAPABILITIES)).server
    fleet.clock.advance(SECOND)

    for name in ("web", "new"):
        with pytest.raises(InvalidRegistrationKey):
            guarded(Registration(name, "test", Capabilities(), key))

    assert fleet.list(size=10).servers == [before]


def test_the_key_is_checked_before_anything_else(fleet: Fleet, guarded: RegisterServer) -> None:
    fleet.store.is_unavailable = True

    with pytest.raises(InvalidRegistrationKey):
        guarded(Registration("", "\n", Capabilities(cpu_cores=-1)))


@pytest.mark.parametrize(
    ("registration", "field"),
    [
        (Registration(""), "name"),
        (Registration(" "), "name"),
        (Registration("x" * 256), "name"),
        (Registration("web", "\x00"), "environment"),
        (Registration("web", "x" * 101), "environment"),
        (
            Registration("web", capabilities=Capabilities(cpu_cores=-1)),
            "capabilities.cpu_cores",
        ),
    ],
)
def test_an_invalid_registration_is_refused_and_leaves_no_trace(
    fleet: Fleet, registration: Registration, field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        fleet.register(registration)

    assert refused.value.field == field
    assert fleet.list(size=10).servers == []


def test_registrations_with_the_same_equipment_make_one_row_of_history(fleet: Fleet) -> None:
    registration = Registration("web", capabilities=CAPABILITIES)
    web = fleet.register(registration).server.server_id
    fleet.register(registration)

    with fleet.store.begin() as transaction:
        assert len(transaction.capability_reports.history(web)) == 1


# Certificates


def test_a_host_that_asks_for_a_certificate_gets_one_for_its_server_and_epoch() -> None:
    fleet = CertifyingFleet()
    first, again = fleet.join(), fleet.join(host=RESTARTED)

    assert first.certificate == "certificate of spiffe://example.com/server/1"
    assert again.certificate == first.certificate
    assert fleet.authority.common_names == ["server 1 epoch 1", "server 1 epoch 2"]


def test_a_host_that_asks_for_no_certificate_gets_none() -> None:
    fleet = CertifyingFleet()

    assert fleet.join(signing_request=b"").certificate == ""
    without = replace(fleet.register, certificates=None)
    assert without(Registration("db", signing_request=REQUEST)).certificate == ""
    assert fleet.authority.issued == []


def test_an_invalid_signing_request_is_refused_and_leaves_no_trace() -> None:
    fleet = CertifyingFleet()

    with pytest.raises(InvalidField, match="signing_request"):
        fleet.join(signing_request=b"no request")
    assert fleet.list(size=9).servers == []


def test_a_host_joins_without_a_certificate_while_the_authority_has_expired(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fleet = CertifyingFleet()
    fleet.authority.error = AuthorityExpired("the authority has expired: replace it")
    registered = fleet.join()

    assert (registered.server.server_id, registered.certificate) == (1, "")
    assert [record.getMessage() for record in caplog.records] == [
        "no certificate was issued for server 1: the authority has expired: replace it"
    ]


# Answers and records


def events(fleet: Fleet, server_id: int = 1) -> list[tuple[EventKind, str]]:
    with fleet.store.begin() as transaction:
        return [(one.kind, one.cause) for one in transaction.history.of(server_id)]


def test_the_history_shows_from_where_a_host_registered(fleet: Fleet) -> None:
    fleet.register(Registration("web", address="10.0.0.7"))
    fleet.register(Registration("web", address="10.0.0.8"))

    cause = "its host registered from 10.0.0.7"
    assert events(fleet) == [(EventKind.REGISTERED, cause), (EventKind.ONLINE, cause)]


def test_a_server_that_waits_for_approval_is_reported_once() -> None:
    rules = RegistrationRules(approval_policy=ApprovalPolicy.MANUAL)
    fleet = Fleet(MemoryStore(), rules=rules)
    first = fleet.register(Registration("web"))
    again = fleet.register(Registration("web"))

    assert first.server.approval is again.server.approval is Approval.PENDING
    cause = "it waits for an operator, because REGISTRATION_APPROVAL is manual"
    assert events(fleet).count((EventKind.PENDING, cause)) == 1
    assert [kind for kind, _ in events(fleet)].count(EventKind.PENDING) == 1


def test_a_registration_records_its_transport(fleet: Fleet) -> None:
    registered = replace(fleet.register, via="amqp")(Registration("web"))

    assert registered.server.presence == online_presence(NOW, INTERVAL, "amqp")


BANNED = evidence("disk", "board", "boot", "process")


@pytest.mark.parametrize("reason", ["", "stolen"])
@pytest.mark.parametrize("mode", Mode)
def test_a_banned_machine_is_refused_recorded_or_ignored(mode: Mode, reason: str) -> None:
    fleet = Fleet(
        MemoryStore(), rules=RegistrationRules(enforcement=Enforcement({Switch.BAN: mode}))
    )
    with fleet.store.begin() as transaction:
        transaction.bans.add(Ban(12, "db", BANNED, reason, NOW))
    refused = None
    try:
        fleet.register(Registration("web", evidence=BANNED))
    except NotAdmitted as error:
        refused = error
    with fleet.store.begin() as transaction:
        recorded = [
            (one.switch, one.server_id, one.name, one.reason, one.last_at)
            for one in transaction.dry_run_refusals.page(after=0, size=9)
        ]

    message = "this machine was banned by an operator, as server 12 (db)"
    message += f": {reason}" if reason else ""
    assert (str(refused), len(fleet.list(size=9).servers)) == (
        (message, 0) if mode is Mode.ENFORCE else ("None", 1)
    )
    if refused:
        assert refused.server_id == 12
    expected = [(Switch.BAN, 12, "web", message, NOW)]
    assert recorded == (expected if mode is Mode.WARN else [])


@pytest.mark.parametrize("mode", Mode)
def test_a_rejected_server_is_refused_recorded_or_let_in(mode: Mode) -> None:
    fleet = Fleet(
        MemoryStore(), rules=RegistrationRules(enforcement=Enforcement({Switch.BAN: mode}))
    )
    fleet.register(Registration("web"))
    fleet.reject(1, "unknown machine")
    refused = None
    try:
        fleet.register(Registration("web"))
    except NotAdmitted as error:
        refused = error

    assert fleet.get(1).epoch == (1 if mode is Mode.ENFORCE else 2)
    assert (refused is not None) == (mode is Mode.ENFORCE)
    # Admitted or not, only an operator can approve it.
    assert fleet.get(1).approval is Approval.REJECTED


@pytest.mark.parametrize("labels", [{"": "gold"}, {"tier": "no blanks "}])
def test_invalid_labels_and_evidence_are_refused(fleet: Fleet, labels: dict[str, str]) -> None:
    with pytest.raises(InvalidField, match=r"^labels"):
        fleet.register(Registration("web", labels=labels))
    with pytest.raises(InvalidField, match=r"^evidence\.boot_id "):
        fleet.register(Registration("web", evidence=replace(BANNED, boot_id="no digest")))

    assert fleet.list(size=9).servers == []


# Which machine a server is on


def machine(fleet: Fleet, name: str, host: Evidence, *, stops: bool = False) -> int:
    server = fleet.register(Registration(name, evidence=host)).server
    if stops:
        fleet.heartbeat([Heartbeat(server.server_id, leaving=True)])
    return server.machine


def test_servers_of_one_machine_have_the_number_of_its_first_server(fleet: Fleet) -> None:
    other = evidence("other disk", "other board", "other boot", "process 2")

    assert [machine(fleet, name, BANNED) for name in ("a", "b")] == [1, 1]
    assert machine(fleet, "c", other) == 3
    assert machine(fleet, "d", other) == 3
    assert machine(fleet, "b", BANNED) == 1


def test_a_machine_that_takes_a_first_server_over_gets_a_number_of_its_own(fleet: Fleet) -> None:
    other = evidence("other disk", "other board", "other boot", "process 2")
    machine(fleet, "a", BANNED, stops=True)
    taken_over = machine(fleet, "a", other)

    assert taken_over > 1
    assert machine(fleet, "b", other) == taken_over
    assert machine(fleet, "c", BANNED) not in (0, taken_over)


def test_a_host_without_evidence_keeps_what_is_known_of_its_machine(fleet: Fleet) -> None:
    fleet.register(Registration("a", evidence=BANNED, address="10.0.0.7"))
    fleet.clock.advance(SECOND)
    fleet.register(Registration("a", address="10.0.0.8"))
    with fleet.store.begin() as transaction:
        identity = transaction.identities.get(1)

    assert identity == Identity(BANNED, 1, "10.0.0.8", NOW + SECOND)
    assert machine(fleet, "b", BANNED) == 1


def test_a_certificate_registers_its_server_again_without_a_key() -> None:
    fleet = CertifyingFleet()
    fleet.register = replace(
        fleet.register,
        authenticate_host=replace(admitting_keys(KEY), credentials=fleet.credentials),
    )
    fleet.register(Registration("web", registration_key=KEY, evidence=BANNED))
    certified_as = Certified(server_id=1, epoch=1)
    again = fleet.register(Registration("web", evidence=BANNED, certified_as=certified_as))

    assert (again.server.server_id, again.server.epoch) == (1, 1)
    with pytest.raises(InvalidRegistrationKey):
        fleet.register(Registration("db", evidence=BANNED, certified_as=certified_as))


@pytest.mark.parametrize("enforced", [True, False])
def test_the_revision_is_withheld_from_a_server_that_waits_for_approval(enforced: bool) -> None:
    modes = {} if enforced else {Switch.APPROVAL: Mode.WARN}
    rules = RegistrationRules(approval_policy=ApprovalPolicy.MANUAL, enforcement=Enforcement(modes))
    fleet = Fleet(MemoryStore(), rules=rules)
    server = fleet.register(Registration("web")).server
    with fleet.store.begin() as transaction:
        record = transaction.servers.get(server.server_id, lock=True)
        transaction.servers.save(replace(record, config_revision=5))

    assert fleet.register(Registration("web")).config_revision == (0 if enforced else 5)


def test_every_event_has_the_time_of_the_registration() -> None:
    rules = RegistrationRules(approval_policy=ApprovalPolicy.MANUAL)
    fleet = Fleet(MemoryStore(), rules=rules)
    now = fleet.clock.advance(SECOND)
    fleet.register(Registration("web", evidence=BANNED, capabilities=CAPABILITIES))
    with fleet.store.begin() as transaction:
        times = {entry.at for entry in transaction.history.of(1)}
        [(reported_at, _)] = transaction.capability_reports.history(1)
        identity = transaction.identities.get(1)

    assert times == {now}
    assert reported_at == now
    assert identity.registered_at == now
