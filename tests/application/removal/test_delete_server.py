from dataclasses import replace
from datetime import timedelta

import pytest

from application.configuration.list_configurations import ListConfigurations
from application.configuration.put_configuration import PutConfiguration
from application.liveness.record_heartbeat import Heartbeat
from application.registration.register_server import Registration
from application.removal.delete_server import DeleteServer
from domain.conflict import Conflict, ConflictState
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import DeletedServerNotFound, ServerIsOnline, ServerNotFound
from domain.events import EventKind
from domain.machine_evidence import UNKNOWN_IDENTITY
from domain.retention import Retention
from tests.support.builders import NOW
from tests.support.fleet import Fleet


def register(fleet: Fleet, name: str = "web") -> int:
    return fleet.register(Registration(name)).server.server_id


def register_and_leave(fleet: Fleet, name: str = "web") -> int:
    server_id = register(fleet, name)
    fleet.heartbeat([Heartbeat(server_id, leaving=True)])
    return server_id


def dry_run_refusals(fleet: Fleet) -> list[tuple[Switch, int, str, str]]:
    with fleet.store.begin() as transaction:
        return [
            (entry.switch, entry.server_id, entry.name, entry.reason)
            for entry in transaction.dry_run_refusals.page(0, 10)
        ]


def happened(fleet: Fleet, server_id: int) -> list[EventKind]:
    with fleet.store.begin() as transaction:
        return [entry.kind for entry in transaction.history.of(server_id)]


def test_a_deleted_server_is_unknown(fleet: Fleet) -> None:
    web = register_and_leave(fleet)
    fleet.delete(web)

    with pytest.raises(ServerNotFound):
        fleet.get(web)
    with pytest.raises(ServerNotFound):
        fleet.delete(web)
    assert [type(answer) for answer in fleet.heartbeat([Heartbeat(web)])] == [ServerNotFound]


def test_a_host_that_joins_again_gets_a_new_empty_server(fleet: Fleet) -> None:
    web = fleet.register(Registration("web", "production")).server.server_id
    PutConfiguration(fleet.store, fleet.clock)(web, "valheim", "{}")
    fleet.delete(web, force=True)
    again = fleet.register(Registration("web")).server

    assert again.server_id > web
    assert (again.environment, again.config_revision) == ("", 0)
    assert ListConfigurations(fleet.store)(again.server_id) == []


def test_a_server_that_is_online_is_deleted_only_by_force(fleet: Fleet) -> None:
    web = register(fleet)

    with pytest.raises(ServerIsOnline, match="server 1 is online: stop its host, or use force"):
        fleet.delete(web)
    assert fleet.get(web).name == "web"
    fleet.delete(web, force=True)
    with pytest.raises(ServerNotFound):
        fleet.get(web)


@pytest.mark.parametrize("mode", [Mode.WARN, Mode.OFF])
def test_without_enforcement_an_online_server_is_deleted_and_warn_records_it(
    fleet: Fleet, mode: Mode
) -> None:
    delete = replace(fleet.delete, enforcement=Enforcement({Switch.DELETE_ONLINE: mode}))
    online, offline = register(fleet), register_and_leave(fleet, "db")
    for server_id in (online, offline):
        delete(server_id)

    assert fleet.list(size=10).servers == []
    recorded = [(Switch.DELETE_ONLINE, online, "web", str(ServerIsOnline(online)))]
    assert dry_run_refusals(fleet) == (recorded if mode is Mode.WARN else [])


def test_a_forced_deletion_is_not_recorded(fleet: Fleet) -> None:
    delete = replace(fleet.delete, enforcement=Enforcement({Switch.DELETE_ONLINE: Mode.WARN}))
    delete(register(fleet), force=True)

    assert dry_run_refusals(fleet) == []


def test_a_deletion_is_published_with_its_cause_and_the_history_is_kept(fleet: Fleet) -> None:
    web = register_and_leave(fleet)
    fleet.delete(web)
    with fleet.store.begin() as transaction:
        [*_, last] = transaction.outbox.oldest(10)

    assert (last.kind, last.name, last.cause) == (
        EventKind.DELETED,
        "web",
        "an operator deleted it",
    )
    assert happened(fleet, web)[-1] is EventKind.DELETED


def test_a_deleted_server_is_kept_for_the_retention(fleet: Fleet) -> None:
    retention = timedelta(days=7)
    web = register_and_leave(fleet)
    replace(fleet.delete, retention=Retention(deleted=retention))(web)
    [deleted] = fleet.list_deleted(size=10).servers

    assert deleted.server.server_id == web
    assert (deleted.deleted_at, deleted.purged_at) == (NOW, NOW + retention)
    assert deleted.cause == "an operator deleted it"


def test_a_deleted_server_is_kept_for_thirty_days_by_default(fleet: Fleet) -> None:
    fleet.delete(register_and_leave(fleet))
    [deleted] = fleet.list_deleted(size=10).servers

    assert deleted.purged_at - deleted.deleted_at == timedelta(days=30)


def test_without_retention_a_server_is_gone_at_once(fleet: Fleet) -> None:
    delete = DeleteServer(fleet.store, fleet.clock, retention=Retention(deleted=timedelta(0)))
    web = register_and_leave(fleet)
    delete(web)

    assert fleet.list_deleted(size=10).servers == []
    assert happened(fleet, web) == []
    with pytest.raises(DeletedServerNotFound):
        fleet.restore(web)
    with fleet.store.begin() as transaction:
        assert transaction.outbox.oldest(10)[-1].kind is EventKind.DELETED


def test_only_conflicts_about_the_deleted_server_lapse(fleet: Fleet) -> None:
    web, db = register_and_leave(fleet), register_and_leave(fleet, "db")
    with fleet.store.begin() as transaction:
        conflicts = [
            transaction.conflicts.add(
                Conflict(
                    0, server_id, name, state, UNKNOWN_IDENTITY, None, UNKNOWN_IDENTITY, NOW, NOW
                )
            )
            for server_id, name in ((web, "web"), (db, "db"), (4711, "web"))
            for state in ConflictState
        ]
    fleet.delete(web)
    with fleet.store.begin() as transaction:
        states = [transaction.conflicts.get(one.conflict_id).state for one in conflicts]

    was = list(ConflictState)
    lapsed, resolved = ConflictState.LAPSED, ConflictState.RESOLVED
    assert states == [lapsed, lapsed, resolved, lapsed, *was, *was]
