from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from adapters.memory.store import MemoryStore
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.ports.store.store import StoreUnavailable
from application.registration.register_server import Registration
from domain.approval import Approval
from domain.capabilities import Capabilities
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import (
    CertificateMismatch,
    CertificateRequired,
    CredentialRequired,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
)
from domain.events import EventKind
from domain.liveness import Status, offline_presence, online_presence
from domain.registration_rules import RegistrationRules
from domain.server import Server
from domain.spiffe import Certified
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND
from tests.support.fleet import Fleet

BUSIER = replace(CAPABILITIES, available_memory_mb=1)


def register(fleet: Fleet, name: str, capabilities: Capabilities | None = None) -> int:
    return fleet.register(Registration(name, capabilities=capabilities)).server.server_id


def test_a_heartbeat_keeps_its_server_online(fleet: Fleet) -> None:
    web = register(fleet, "web", CAPABILITIES)
    now = fleet.clock.advance(10 * SECOND)

    assert fleet.heartbeat([Heartbeat(web)]) == [Acknowledged(0, INTERVAL)]
    assert fleet.get(web).presence == online_presence(now, INTERVAL)
    assert fleet.get(web).capabilities == CAPABILITIES


def test_a_heartbeat_may_bring_other_capabilities(fleet: Fleet) -> None:
    web = register(fleet, "web", CAPABILITIES)
    fleet.heartbeat([Heartbeat(web, BUSIER)])

    assert fleet.get(web).capabilities == BUSIER


def test_a_host_that_leaves_is_offline_at_once(fleet: Fleet) -> None:
    web = register(fleet, "web")
    now = fleet.clock.advance(SECOND)
    fleet.heartbeat([Heartbeat(web, leaving=True)])

    assert fleet.get(web).presence == offline_presence(now)


def test_a_heartbeat_brings_an_offline_server_back(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.heartbeat([Heartbeat(web, leaving=True)])
    fleet.heartbeat([Heartbeat(web)])

    assert fleet.get(web).presence.status is Status.ONLINE


def test_the_answer_has_the_revision_of_the_configuration(fleet: Fleet) -> None:
    web = register(fleet, "web")
    with fleet.store.begin() as transaction:
        server = transaction.servers.get(web, lock=True)
        transaction.servers.save(replace(server, config_revision=7))

    assert fleet.heartbeat([Heartbeat(web)]) == [Acknowledged(7, INTERVAL)]


def test_answers_are_in_the_order_of_the_batch_and_unknown_servers_stop_no_other(
    fleet: Fleet,
) -> None:
    web, db = register(fleet, "web"), register(fleet, "db")
    now = fleet.clock.advance(SECOND)
    batch = [Heartbeat(db), Heartbeat(4711, CAPABILITIES), Heartbeat(web), Heartbeat(-1)]
    first, second, third, fourth = fleet.heartbeat(batch)

    assert first == third == Acknowledged(0, INTERVAL)
    assert isinstance(second, ServerNotFound)
    assert second.server_id == 4711
    assert isinstance(fourth, ServerNotFound)
    assert fourth.server_id == -1
    for server_id in (web, db):
        assert fleet.get(server_id).presence == online_presence(now, INTERVAL)
    assert len(fleet.list(size=10).servers) == 2


def test_a_batch_of_unknown_servers_writes_nothing(fleet: Fleet) -> None:
    answers = fleet.heartbeat([Heartbeat(1), Heartbeat(1)])

    assert [type(answer) for answer in answers] == [ServerNotFound, ServerNotFound]
    assert fleet.list(size=10).servers == []


def test_an_empty_batch_has_no_answers(fleet: Fleet) -> None:
    assert fleet.heartbeat([]) == []


@pytest.mark.parametrize("leaving_last", [True, False])
def test_the_last_of_several_heartbeats_says_whether_its_server_leaves(
    fleet: Fleet, leaving_last: bool
) -> None:
    web = register(fleet, "web")
    answers = fleet.heartbeat(
        [Heartbeat(web, leaving=not leaving_last), Heartbeat(web, leaving=leaving_last)]
    )

    assert answers == [Acknowledged(0, INTERVAL)] * 2
    assert fleet.get(web).presence == (
        offline_presence(NOW) if leaving_last else online_presence(NOW, INTERVAL)
    )


def test_the_last_reported_capabilities_of_a_batch_are_kept(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.heartbeat([Heartbeat(web, CAPABILITIES), Heartbeat(web, BUSIER), Heartbeat(web)])

    assert fleet.get(web).capabilities == BUSIER


def test_a_leaving_heartbeat_keeps_the_capabilities_of_an_earlier_one(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.heartbeat([Heartbeat(web, CAPABILITIES), Heartbeat(web, leaving=True)])

    assert fleet.get(web).capabilities == CAPABILITIES
    assert fleet.get(web).presence == offline_presence(NOW)


def test_a_leaving_heartbeat_may_bring_capabilities(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.heartbeat([Heartbeat(web, BUSIER, leaving=True)])

    assert fleet.get(web).capabilities == BUSIER


def test_zeroes_are_a_report_too(fleet: Fleet) -> None:
    web = register(fleet, "web", CAPABILITIES)
    fleet.heartbeat([Heartbeat(web, Capabilities())])

    assert fleet.get(web).capabilities == Capabilities()


def test_no_heartbeat_is_acknowledged_while_the_store_is_unavailable(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.store.is_unavailable = True

    with pytest.raises(StoreUnavailable):
        fleet.heartbeat([Heartbeat(web)])


@pytest.mark.parametrize(("online", "seconds"), [(0, 15), (30, 15), (31, 16), (2000, 1000)])
def test_the_interval_keeps_the_fleet_under_the_rate(online: int, seconds: int) -> None:
    fleet = Fleet(MemoryStore(), max_heartbeats_per_second=2)
    web = register(fleet, "web")
    fleet.heartbeat_interval.fleet_size = online
    interval = timedelta(seconds=seconds)

    assert fleet.heartbeat([Heartbeat(web)]) == [Acknowledged(0, interval)]
    assert fleet.get(web).presence == online_presence(NOW, interval)
    assert fleet.register(Registration("db")).next_heartbeat == interval


# Refusals


def test_each_failed_batch_is_counted(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.heartbeat([Heartbeat(web)])
    assert fleet.heartbeat_intake.failed_batches == 0

    fleet.store.is_unavailable = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            fleet.heartbeat([Heartbeat(web)])

    assert fleet.heartbeat_intake.failed_batches == 2


def test_an_invalid_heartbeat_is_refused_with_its_field_and_writes_nothing(fleet: Fleet) -> None:
    web = register(fleet, "web", CAPABILITIES)
    before = fleet.get(web)
    fleet.clock.advance(SECOND)
    answers = fleet.heartbeat(
        [Heartbeat(web, Capabilities(cpu_cores=-1)), Heartbeat(web, CAPABILITIES, epoch=-1)]
    )

    assert [str(answer) for answer in answers] == [
        "capabilities.cpu_cores is -1, but must be from 0 to 65536",
        "epoch must not be negative",
    ]
    assert fleet.get(web) == before


def test_the_history_shows_why_a_server_goes_offline_and_online(fleet: Fleet) -> None:
    web, db = register(fleet, "web"), register(fleet, "db")
    fleet.clock.advance(SECOND)
    fleet.heartbeat([Heartbeat(web, leaving=True), Heartbeat(db)])
    fleet.clock.advance(SECOND)
    fleet.heartbeat([Heartbeat(web), Heartbeat(db)])

    assert history(fleet, web)[-2:] == [
        (EventKind.OFFLINE, NOW + SECOND, "its host reported that it stops"),
        (EventKind.ONLINE, NOW + 2 * SECOND, "its host was heard again"),
    ]
    assert len(history(fleet, db)) == len(history(fleet, web)) - 2


def history(fleet: Fleet, server_id: int) -> list[tuple[EventKind, datetime, str]]:
    with fleet.store.begin() as transaction:
        return [(one.kind, one.at, one.cause) for one in transaction.history.of(server_id)]


def test_a_heartbeat_records_its_transport(fleet: Fleet) -> None:
    web = register(fleet, "web")
    replace(fleet.heartbeat, via="amqp")([Heartbeat(web)])

    assert fleet.get(web).presence == online_presence(NOW, INTERVAL, "amqp")


def fleet_with(**modes: Mode) -> Fleet:
    """A fleet whose switches have these modes, by their names."""
    switches = {Switch[name]: mode for name, mode in modes.items()}
    return Fleet(MemoryStore(), rules=RegistrationRules(enforcement=Enforcement(switches)))


def dry_run_refusals(fleet: Fleet) -> list[tuple[Switch, int, str, str, datetime]]:
    with fleet.store.begin() as transaction:
        return [
            (one.switch, one.server_id, one.name, one.reason, one.last_at)
            for one in transaction.dry_run_refusals.page(after=0, size=99)
        ]


def registered_again(fleet: Fleet) -> Server:
    """The server as it was after the first of its two registrations."""
    before = fleet.register(Registration("web", address="10.0.0.7")).server
    fleet.clock.advance(SECOND)
    fleet.register(Registration("web", address="10.0.0.8"))
    fleet.clock.advance(SECOND)
    return before


SUPERSEDED = (
    "server 1 was registered again by another host manager from 10.0.0.8 at 2026-02-28 23:59:59"
    " UTC: stop one of the two, or give each a SERVER_NAME or an ENVIRONMENT of its own"
)


def test_an_earlier_epoch_is_refused_and_only_proof_learns_the_successor(fleet: Fleet) -> None:
    before = registered_again(fleet)
    presence, credential = fleet.get(1).presence, fleet.credentials.issue(1, before.epoch)
    answers = fleet.heartbeat(
        [Heartbeat(1, CAPABILITIES, epoch=1), Heartbeat(1, epoch=1, credential=credential)]
    )

    assert isinstance(answers[0], SupersededRegistration)
    assert "10.0.0.8" not in str(answers[0])
    assert str(answers[1]) == SUPERSEDED
    assert fleet.get(1).presence == presence
    assert fleet.get(1).capabilities is None


def test_where_epochs_only_warn_an_earlier_one_counts_and_is_recorded() -> None:
    fleet = fleet_with(EPOCH=Mode.WARN)
    registered_again(fleet)
    now = fleet.clock.now()

    assert fleet.heartbeat([Heartbeat(1, CAPABILITIES, epoch=1)]) == [Acknowledged(0, INTERVAL)]
    assert fleet.get(1).presence == online_presence(now, INTERVAL)
    assert fleet.get(1).capabilities == CAPABILITIES
    assert dry_run_refusals(fleet) == [(Switch.EPOCH, 1, "web", SUPERSEDED, now)]


def test_where_epochs_do_not_count_nothing_is_recorded() -> None:
    fleet = fleet_with(EPOCH=Mode.OFF)
    registered_again(fleet)

    assert fleet.heartbeat([Heartbeat(1, epoch=1)]) == [Acknowledged(0, INTERVAL)]
    assert dry_run_refusals(fleet) == []


@pytest.mark.parametrize("leaving_first", [True, False])
def test_within_a_batch_the_newest_epoch_counts(fleet: Fleet, leaving_first: bool) -> None:
    registered_again(fleet)
    now = fleet.clock.now()
    batch = [Heartbeat(1, BUSIER, leaving=True, epoch=1), Heartbeat(1, CAPABILITIES, epoch=2)]
    answers = fleet.heartbeat(batch if leaving_first else batch[::-1])

    kinds = [SupersededRegistration, Acknowledged]
    assert [type(answer) for answer in answers] == (kinds if leaving_first else kinds[::-1])
    assert fleet.get(1).presence == online_presence(now, INTERVAL)
    assert fleet.get(1).capabilities == CAPABILITIES


@pytest.mark.parametrize(("epoch", "counts_as"), [(0, 2), (1, 1), (2, 2), (3, 2)])
def test_a_heartbeat_counts_for_no_later_epoch_than_its_credential(
    fleet: Fleet, epoch: int, counts_as: int
) -> None:
    registered_again(fleet)
    credential = fleet.credentials.issue(1, 2)
    [current] = fleet.heartbeat([Heartbeat(1, epoch=epoch, credential=credential)])
    fleet.register(Registration("web"))
    [superseded] = fleet.heartbeat([Heartbeat(1, epoch=epoch, credential=credential)])

    assert isinstance(current, Acknowledged) == (counts_as == 2)
    assert isinstance(superseded, SupersededRegistration)


def test_a_credential_without_an_epoch_counts_for_the_epoch_of_the_heartbeat(fleet: Fleet) -> None:
    registered_again(fleet)
    certified_as = Certified(server_id=1)
    old, new, unknown = fleet.heartbeat(
        [Heartbeat(1, epoch=epoch, certified_as=certified_as) for epoch in (1, 2, 0)]
    )

    assert isinstance(old, SupersededRegistration)
    assert new == unknown == Acknowledged(0, INTERVAL)


def test_a_rejected_server_looks_nonexistent_to_senders_without_proof(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.reject(web, "unknown machine")
    before, credential = fleet.get(web), fleet.credentials.issue(web, 1)
    fleet.clock.advance(SECOND)
    unproven, host = fleet.heartbeat([Heartbeat(web), Heartbeat(web, credential=credential)])

    assert isinstance(unproven, ServerNotFound)
    assert unproven.server_id == web
    assert isinstance(host, NotAdmitted)
    assert str(host) == "server 1 (web) was rejected by an operator: unknown machine"
    assert fleet.get(web).presence == before.presence


@pytest.mark.parametrize("mode", [Mode.WARN, Mode.OFF])
def test_where_bans_are_not_enforced_heartbeats_of_a_rejected_server_count(mode: Mode) -> None:
    fleet = fleet_with(BAN=mode)
    web = register(fleet, "web")
    fleet.reject(web, "unknown machine")
    now = fleet.clock.advance(SECOND)
    [answer] = fleet.heartbeat([Heartbeat(web)])

    assert answer == Acknowledged(0, INTERVAL, Approval.REJECTED)
    assert fleet.get(web).presence == online_presence(now, INTERVAL)
    reason = "server 1 (web) was rejected by an operator: unknown machine"
    expected = [(Switch.BAN, web, "web", reason, now)]
    assert dry_run_refusals(fleet) == (expected if mode is Mode.WARN else [])


@pytest.mark.parametrize("mode", [Mode.WARN, Mode.OFF])
def test_where_bans_are_not_enforced_an_earlier_epoch_is_still_refused(mode: Mode) -> None:
    fleet = fleet_with(BAN=mode)
    registered_again(fleet)
    fleet.reject(1, "unknown machine")
    [answer] = fleet.heartbeat([Heartbeat(1, epoch=1)])

    assert isinstance(answer, SupersededRegistration)
    assert dry_run_refusals(fleet) == []


# Required proofs

NEEDS_CERTIFICATE = str(CertificateRequired(1))


def test_a_certificate_is_required_where_it_is_enforced() -> None:
    fleet = fleet_with(CERTIFICATE=Mode.ENFORCE, CREDENTIAL=Mode.ENFORCE)
    web, other = register(fleet, "web"), Certified(server_id=2)
    credential = fleet.credentials.issue(web, 1)
    before = fleet.get(web).presence
    fleet.clock.advance(SECOND)
    without, by_credential, by_other = fleet.heartbeat(
        [
            Heartbeat(web),
            Heartbeat(web, credential=credential),
            Heartbeat(web, credential=credential, certified_as=other),
        ]
    )

    assert (str(without), str(by_credential)) == (NEEDS_CERTIFICATE, NEEDS_CERTIFICATE)
    assert str(by_other) == str(CertificateMismatch(2, 1))
    assert fleet.get(web).presence == before
    [heard] = fleet.heartbeat([Heartbeat(web, certified_as=Certified(server_id=1, epoch=1))])
    assert heard == Acknowledged(0, INTERVAL)


@pytest.mark.parametrize("switch", [Switch.CREDENTIAL, Switch.CERTIFICATE])
def test_where_a_proof_is_not_enforced_heartbeats_without_it_are_recorded(
    switch: Switch,
) -> None:
    fleet = fleet_with(**{switch.name: Mode.WARN})
    for name in ("none", "credential", "certificate"):
        register(fleet, name)
    now = fleet.clock.advance(SECOND)
    answers = fleet.heartbeat(
        [
            Heartbeat(1),
            Heartbeat(2, credential=fleet.credentials.issue(2, 1)),
            Heartbeat(3, certified_as=Certified(server_id=3)),
            Heartbeat(4711),
        ]
    )

    assert [type(answer) for answer in answers] == [Acknowledged] * 3 + [ServerNotFound]
    error = CredentialRequired if switch is Switch.CREDENTIAL else CertificateRequired
    expected = [(switch, 1, "none", str(error(1)), now)]
    if switch is Switch.CERTIFICATE:
        expected.append((switch, 2, "credential", str(error(2)), now))
    assert dry_run_refusals(fleet) == expected


def test_an_api_without_credentials_accepts_none() -> None:
    fleet = fleet_with(CREDENTIAL=Mode.ENFORCE)
    web = register(fleet, "web")
    credential = fleet.credentials.issue(web, 1)
    heartbeat = replace(fleet.heartbeat, credentials=None)

    assert isinstance(heartbeat([Heartbeat(web, credential=credential)])[0], CredentialRequired)
    [heard] = heartbeat([Heartbeat(web, certified_as=Certified(server_id=web))])
    assert heard == Acknowledged(0, INTERVAL)


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_later_heartbeat_of_the_same_registration_counts(fleet: Fleet, epoch: int) -> None:
    registered_again(fleet)
    fleet.heartbeat([Heartbeat(1, epoch=2), Heartbeat(1, leaving=True, epoch=epoch)])

    assert fleet.get(1).presence == offline_presence(fleet.clock.now())


def test_where_bans_only_warn_a_rejected_server_can_leave() -> None:
    fleet = fleet_with(BAN=Mode.WARN)
    web = register(fleet, "web")
    fleet.reject(web, "unknown machine")
    now = fleet.clock.advance(SECOND)
    fleet.heartbeat([Heartbeat(web, leaving=True)])

    assert fleet.get(web).presence == offline_presence(now)


def test_a_change_of_equipment_is_recorded_with_its_time(fleet: Fleet) -> None:
    web = register(fleet, "web", CAPABILITIES)
    now = fleet.clock.advance(SECOND)
    larger = replace(CAPABILITIES, cpu_cores=32)
    fleet.heartbeat([Heartbeat(web, larger)])
    with fleet.store.begin() as transaction:
        reports = transaction.capability_reports.history(web)

    assert [at for at, _ in reports] == [NOW, now]
