import pytest

from application.liveness.record_heartbeat import Heartbeat
from application.registration.register_server import Registration
from application.servers.update_server import ServerChanges
from domain.errors import NameInUse, ServerNotFound
from domain.events import EventKind
from domain.liveness import Status
from tests.support.builders import INTERVAL, SECOND, evidence
from tests.support.fleet import Fleet

BOX = evidence(disk="box", board="box", boot="today", instance="manager")
OTHER = evidence(disk="other", board="other", boot="then", instance="stranger")


def explanation(fleet: Fleet, server_id: int) -> str:
    return " ".join(fleet.explain(server_id).sentences)


def causes(fleet: Fleet, server_id: int) -> list[tuple[EventKind, str]]:
    return [(entry.kind, entry.cause) for entry in fleet.explain(server_id).history]


def test_the_explanation_of_a_server(fleet: Fleet) -> None:
    web = fleet.create("web", "production").server_id
    fleet.register(Registration("web", evidence=BOX, address="10.0.0.7"))
    fleet.pass_time(4 * INTERVAL)
    fleet.pass_time(SECOND)
    fleet.heartbeat([Heartbeat(web)])
    fleet.update(web, ServerChanges(name="db", status=Status.OFFLINE))
    fleet.update(web, ServerChanges(status=Status.ONLINE))
    fleet.heartbeat([Heartbeat(web, leaving=True)])

    assert causes(fleet, web) == [
        (EventKind.CREATED, "an operator created it"),
        (EventKind.REGISTERED, "its host registered from 10.0.0.7"),
        (EventKind.ONLINE, "its host registered from 10.0.0.7"),
        (EventKind.STALE, "its host was silent for longer than 45 seconds"),
        (EventKind.ONLINE, "its host was heard again"),
        (EventKind.RENAMED, "an operator renamed it from web to db"),
        (EventKind.OFFLINE, "an operator set it offline"),
        (EventKind.ONLINE, "an operator set it online"),
        (EventKind.OFFLINE, "its host reported that it stops"),
    ]
    assert "UTC: its host reported that it stops." in explanation(fleet, web)
    assert "Its host has registered once, most recently from 10.0.0.7" in explanation(fleet, web)


def test_heartbeats_that_change_no_status_are_not_in_the_history(fleet: Fleet) -> None:
    web = fleet.register(Registration("web")).server.server_id
    before = causes(fleet, web)
    for _ in range(5):
        fleet.clock.advance(SECOND)
        fleet.heartbeat([Heartbeat(web)])

    assert causes(fleet, web) == before


def test_an_update_without_a_change_is_not_in_the_history(fleet: Fleet) -> None:
    web = fleet.register(Registration("web")).server.server_id
    before = causes(fleet, web)
    fleet.update(web, ServerChanges(name="web", status=Status.ONLINE, is_default=True))

    assert causes(fleet, web) == before


def test_the_silence_is_measured_by_the_interval_the_host_was_given(fleet: Fleet) -> None:
    slow = Fleet(fleet.store, interval=SECOND, max_heartbeats_per_second=1)
    for number in range(10):
        slow.register(Registration(f"web-{number}"))
    slow.pass_time(60 * SECOND)

    assert causes(slow, 1)[-1] == (
        EventKind.STALE,
        "its host was silent for longer than 3 seconds",
    )


def test_the_other_servers_of_its_machine_are_named(fleet: Fleet) -> None:
    dev = fleet.register(Registration("box-dev", "dev", evidence=BOX)).server.server_id
    prod = fleet.register(Registration("box-prod", "prod", evidence=BOX)).server.server_id
    fleet.register(Registration("else", "dev", evidence=OTHER))

    assert f"Server {prod} (box-prod) is on the same machine and online." in explanation(fleet, dev)
    assert explanation(fleet, dev).count("the same machine") == 1


def test_servers_of_unknown_machines_are_not_neighbours(fleet: Fleet) -> None:
    web = fleet.register(Registration("web")).server.server_id
    fleet.register(Registration("db"))

    assert "same machine" not in explanation(fleet, web)


def test_a_claim_to_its_name_is_explained(fleet: Fleet) -> None:
    web = fleet.register(Registration("web", evidence=BOX)).server.server_id
    with pytest.raises(NameInUse):
        fleet.register(Registration("web", evidence=OTHER, address="10.0.0.9"))

    assert "Another machine at 10.0.0.9 claimed its name once" in explanation(fleet, web)


def test_the_deletion_of_an_ephemeral_server_is_announced(fleet: Fleet) -> None:
    web = fleet.register(Registration("web", ephemeral=True)).server.server_id

    assert "it is deleted after 24 hours without a heartbeat." in explanation(fleet, web)


def test_a_deleted_server_is_explained_until_it_is_purged(fleet: Fleet) -> None:
    web, db = (fleet.create(name, "").server_id for name in ("web", "db"))
    fleet.delete(web)
    explained = fleet.explain(web)

    assert explained.sentences[0].startswith(f"Server {web} (web) was deleted at")
    assert [entry.kind for entry in explained.history] == [EventKind.CREATED, EventKind.DELETED]
    assert "deleted" not in explanation(fleet, db)


@pytest.mark.parametrize("server_id", [0, -1, -(2**63), 2**63 - 1, 4711])
def test_a_server_that_never_existed_is_not_found(fleet: Fleet, server_id: int) -> None:
    fleet.delete(fleet.create("web", "").server_id)

    with pytest.raises(ServerNotFound):
        fleet.explain(server_id)
