from dataclasses import replace
from datetime import timedelta

import pytest

from application.liveness.record_heartbeat import Heartbeat
from application.registration.register_server import Registration
from application.removal.prune_servers import PruneServers
from domain.events import EventKind
from domain.retention import Retention
from domain.server import Server
from tests.support.builders import SECOND
from tests.support.fleet import Fleet

HOUR = timedelta(hours=1)
CAUSE = "ephemeral, and offline for longer than 24 hours"


def join(fleet: Fleet, name: str, *, ephemeral: bool = True) -> int:
    return fleet.register(Registration(name, ephemeral=ephemeral)).server.server_id


def leave(fleet: Fleet, *server_ids: int) -> None:
    fleet.heartbeat([Heartbeat(server_id, leaving=True) for server_id in server_ids])


def ids(servers: object) -> list[int]:
    assert isinstance(servers, list)
    return [server.server_id for server in servers if isinstance(server, Server)]


def listed(fleet: Fleet) -> list[int]:
    return [server.server_id for server in fleet.list(size=1000).servers]


@pytest.fixture
def gone(fleet: Fleet) -> list[int]:
    """Ephemeral servers that went offline 24 hours and one second ago."""
    server_ids = [join(fleet, f"gone-{number}") for number in range(3)]
    leave(fleet, *server_ids)
    fleet.clock.advance(24 * HOUR + SECOND)
    return server_ids


def test_ephemeral_servers_that_were_offline_for_too_long_are_deleted(
    fleet: Fleet, gone: list[int]
) -> None:
    online, lasting, late = (
        join(fleet, "online"),
        join(fleet, "lasting", ephemeral=False),
        join(fleet, "late"),
    )
    leave(fleet, lasting, late)
    fleet.clock.advance(23 * HOUR)
    pruned = fleet.prune()

    assert ids(pruned.servers) == gone
    assert not pruned.more
    assert listed(fleet) == [online, lasting, late]
    assert ids(fleet.prune().servers) == []


def test_ephemeral_servers_are_not_deleted_before_their_retention_ends(
    fleet: Fleet, gone: list[int]
) -> None:
    fleet.clock.advance(-SECOND)
    assert ids(fleet.prune().servers) == []

    fleet.clock.advance(SECOND)
    assert ids(fleet.prune().servers) == gone


def test_pruned_servers_are_moved_to_deleted_with_the_cause(fleet: Fleet, gone: list[int]) -> None:
    fleet.prune()
    with fleet.store.begin() as transaction:
        published = [
            (event.server_id, event.cause)
            for event in transaction.outbox.oldest(100)
            if event.kind is EventKind.DELETED
        ]

    assert published == [(server_id, CAUSE) for server_id in gone]
    [deleted, *_] = fleet.list_deleted(size=10).servers
    assert deleted.cause == CAUSE
    assert deleted.purged_at - deleted.deleted_at == timedelta(days=30)


def test_a_dry_run_returns_the_same_servers_and_deletes_nothing(
    fleet: Fleet, gone: list[int]
) -> None:
    found = fleet.prune(dry_run=True)

    assert listed(fleet) == gone
    assert fleet.list_deleted(size=10).servers == []
    assert fleet.prune() == found


def test_the_cause_names_the_retention_in_words(fleet: Fleet, gone: list[int]) -> None:
    prune = PruneServers(fleet.store, fleet.clock, Retention(ephemeral=timedelta(seconds=90)))

    assert prune.cause == "ephemeral, and offline for longer than 90 seconds"
    assert ids(prune().servers) == gone


def test_one_call_deletes_at_most_a_hundred(fleet: Fleet) -> None:
    server_ids = [join(fleet, f"web-{number}") for number in range(201)]
    leave(fleet, *server_ids)
    fleet.clock.advance(25 * HOUR)
    dry = fleet.prune(dry_run=True)
    batches = [fleet.prune() for _ in range(4)]

    assert dry == batches[0]
    assert [ids(batch.servers) for batch in batches] == [
        server_ids[:100],
        server_ids[100:200],
        server_ids[200:],
        [],
    ]
    assert [batch.more for batch in batches] == [True, True, False, False]


def test_a_restored_server_has_its_whole_retention_again(fleet: Fleet, gone: list[int]) -> None:
    fleet.prune()
    fleet.restore(gone[0])

    fleet.clock.advance(24 * HOUR)
    assert ids(fleet.prune().servers) == []
    fleet.clock.advance(SECOND)
    assert ids(fleet.prune().servers) == gone[:1]


def test_a_rejected_server_is_not_pruned(fleet: Fleet, gone: list[int]) -> None:
    fleet.reject(gone[0], "")
    fleet.clock.advance(100 * HOUR)

    assert ids(fleet.prune().servers) == gone[1:]


def test_a_server_that_joins_as_permanent_is_no_longer_ephemeral(
    fleet: Fleet, gone: list[int]
) -> None:
    join(fleet, "gone-0", ephemeral=False)
    leave(fleet, gone[0])
    fleet.clock.advance(100 * HOUR)

    assert not fleet.get(gone[0]).ephemeral
    assert ids(fleet.prune().servers) == gone[1:]


def test_without_retention_pruned_servers_are_deleted_for_good(
    fleet: Fleet, gone: list[int]
) -> None:
    prune = replace(fleet.prune, retention=Retention(deleted=timedelta(0)))

    assert ids(prune().servers) == gone
    assert fleet.list_deleted(size=10).servers == []
