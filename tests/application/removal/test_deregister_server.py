from dataclasses import replace

import pytest

from application.liveness.record_heartbeat import Heartbeat
from application.registration.register_server import Registration
from application.removal.deregister_server import DeregisterServer
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import (
    InvalidRegistrationKey,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
)
from domain.events import EventKind
from domain.liveness import Status
from domain.machine_evidence import Evidence
from tests.support.builders import SECOND, evidence
from tests.support.canary_secrets import almost, canary
from tests.support.fleet import Fleet, admitting_keys

KEY = canary("registration key")
FIRST, SECOND_PROCESS = (evidence("disk", "board", "boot", name) for name in ("first", "second"))


@pytest.fixture
def deregister(fleet: Fleet) -> DeregisterServer:
    return replace(fleet.deregister, authenticate_host=admitting_keys(KEY))


def join(fleet: Fleet, evidence: Evidence = FIRST) -> int:
    registration = Registration("web", evidence=evidence, address="10.0.0.7")
    return fleet.register(registration).server.server_id


def listed(fleet: Fleet) -> list[str]:
    return [server.name for server in fleet.list(size=10).servers]


def test_a_host_that_leaves_for_good_deletes_its_server(
    fleet: Fleet, deregister: DeregisterServer
) -> None:
    web = join(fleet)
    deregister(web, KEY, FIRST.instance_id)
    with fleet.store.begin() as transaction:
        [*_, last] = transaction.outbox.oldest(10)
    [deleted] = fleet.list_deleted(size=10).servers

    assert listed(fleet) == []
    assert (last.kind, last.cause) == (EventKind.DELETED, "its host left for good")
    assert (deleted.server.server_id, deleted.cause) == (web, "its host left for good")
    assert fleet.restore(web).presence.status is Status.OFFLINE


@pytest.mark.parametrize("key", almost(KEY))
def test_the_key_is_checked_before_anything_else(
    fleet: Fleet, deregister: DeregisterServer, key: str
) -> None:
    web = join(fleet)

    for server_id in (web, 4711):
        with pytest.raises(InvalidRegistrationKey):
            deregister(server_id, key, FIRST.instance_id)
    assert listed(fleet) == ["web"]


def test_an_unknown_server_is_not_found(fleet: Fleet, deregister: DeregisterServer) -> None:
    web = join(fleet)
    deregister(web, KEY, FIRST.instance_id)

    for server_id in (web, 0, -1, 4711):
        with pytest.raises(ServerNotFound):
            deregister(server_id, KEY, FIRST.instance_id)


def test_a_superseded_process_deletes_nothing(fleet: Fleet, deregister: DeregisterServer) -> None:
    web = join(fleet)
    fleet.clock.advance(SECOND)
    join(fleet, SECOND_PROCESS)

    for instance_id in (FIRST.instance_id, "", SECOND_PROCESS.instance_id.upper()):
        with pytest.raises(
            SupersededRegistration, match=r"host manager from 10\.0\.0\.7 at 2026-02-28 23:59:59"
        ):
            deregister(web, KEY, instance_id)
    assert listed(fleet) == ["web"]
    deregister(web, KEY, SECOND_PROCESS.instance_id)
    assert listed(fleet) == []


@pytest.mark.parametrize("instance_id", ["", FIRST.instance_id])
def test_without_evidence_the_key_is_enough(
    fleet: Fleet, deregister: DeregisterServer, instance_id: str
) -> None:
    deregister(join(fleet, Evidence()), KEY, instance_id)

    assert listed(fleet) == []


def test_a_server_that_is_already_offline_can_leave_for_good(
    fleet: Fleet, deregister: DeregisterServer
) -> None:
    web = join(fleet)
    fleet.heartbeat([Heartbeat(web, leaving=True)])
    deregister(web, KEY, FIRST.instance_id)

    assert listed(fleet) == []


def test_a_refused_server_cannot_deregister_to_escape_the_decision(
    fleet: Fleet, deregister: DeregisterServer
) -> None:
    web = join(fleet)
    fleet.reject(web, "not ours")

    with pytest.raises(NotAdmitted, match="was rejected by an operator: not ours"):
        deregister(web, KEY, FIRST.instance_id)
    with pytest.raises(NotAdmitted):
        join(fleet)


@pytest.mark.parametrize(("mode", "recorded"), [(Mode.WARN, [Switch.BAN]), (Mode.OFF, [])])
def test_without_enforcement_a_refused_server_can_deregister(
    fleet: Fleet, deregister: DeregisterServer, mode: Mode, recorded: list[Switch]
) -> None:
    web = join(fleet)
    fleet.reject(web, "not ours")
    replace(deregister, enforcement=Enforcement({Switch.BAN: mode}))(web, KEY, FIRST.instance_id)
    with fleet.store.begin() as transaction:
        entries = transaction.dry_run_refusals.page(0, 9)

    assert listed(fleet) == []
    assert [entry.switch for entry in entries] == recorded
