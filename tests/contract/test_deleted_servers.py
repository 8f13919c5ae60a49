"""Deleted servers, and their restoration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from application.ports.store.deleted_servers import DeletedServer
from application.ports.store.servers import ServerFilter
from application.ports.store.store import Store
from domain.approval import Approval
from domain.capabilities import Capabilities
from domain.configuration import Configuration
from domain.errors import DeletedServerNotFound, ServerNameTaken, ServerNotFound
from domain.events import Event, EventKind
from domain.labels import Labels
from domain.liveness import Presence, Status, online_presence
from domain.machine_evidence import UNKNOWN_IDENTITY, Identity
from domain.server import Server
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND, at_once, evidence

DAY = timedelta(days=1)
CAUSE = "an operator deleted it"
# Must be stored byte for byte: blanks, escapes, and characters beyond 16 bits.
DOCUMENTS = {
    "a": '{"b": 1.50,\n\t"a": "\\u0000\\ud83d \\" \'; -- %s ü ✓ 🎲"}\n',
    "b": "[" + "1, " * 80_000 + "1]",
    "c": "0",
}


@dataclass(frozen=True)
class Whole:
    """A server and everything that belongs to it."""

    server: Server
    equipment: Sequence[tuple[datetime, Capabilities]]
    documents: Sequence[Configuration | None]
    identity: Identity


def whole(store: Store, server_id: int) -> Whole:
    with store.begin() as transaction:
        configurations = transaction.configurations
        return Whole(
            transaction.servers.get(server_id),
            transaction.capability_reports.history(server_id),
            [
                configurations.get(server_id, summary.name)
                for summary in configurations.summaries(server_id)
            ],
            transaction.identities.get(server_id),
        )


def add(store: Store, *names: str) -> list[int]:
    with store.begin() as transaction:
        return [transaction.servers.add(name, "").server_id for name in names]


def add_with_everything(store: Store, name: str = "web") -> int:
    identity = Identity(
        evidence("disk", "board", "boot", "instance"), 7, "10.0.0.7", NOW - 3 * SECOND
    )
    with store.begin() as transaction:
        server = transaction.servers.add(name, "production")
        server_id = server.server_id
        transaction.servers.save(
            replace(
                server,
                presence=online_presence(NOW - SECOND, INTERVAL, "grpc"),
                is_default=True,
                config_revision=2**40,
                epoch=2**33,
                approval=Approval.REJECTED,
                approval_reason="not ours ✓",
                ephemeral=True,
            )
        )
        # Several changes of the equipment, so that their order matters.
        for cores in (16, 2, 16, 8):
            report = replace(CAPABILITIES, cpu_cores=cores)
            transaction.capability_reports.record({server_id: report}, NOW - cores * SECOND)
        for revision, (document, text) in enumerate(DOCUMENTS.items()):
            configuration = Configuration(document, text, revision + 1, NOW - revision * SECOND)
            transaction.configurations.put(server_id, configuration)
        transaction.identities.save(server_id, identity)
        transaction.labels.set_host_labels(server_id, {"region": "nyc", "tier": "gold", "old": ""})
        transaction.labels.set_operator_labels(server_id, {"tier": "silver", "rack": "r2"})
    return server_id


def move_to_deleted(
    store: Store, *server_ids: int, now: datetime = NOW, purged_at: datetime = NOW + 30 * DAY
) -> None:
    with store.begin() as transaction:
        for server_id in sorted(server_ids):
            transaction.servers.get(server_id, lock=True)
        transaction.deleted_servers.move_to_deleted(server_ids, now, purged_at, CAUSE)


def restore(store: Store, server_id: int, name: str = "") -> Server:
    with store.begin() as transaction:
        return transaction.deleted_servers.restore(server_id, name)


def deleted_page(store: Store, after: int = 0, size: int = 1000) -> list[DeletedServer]:
    with store.begin() as transaction:
        return list(transaction.deleted_servers.page(after, size))


def deleted_ids(store: Store) -> list[int]:
    return [deleted.server.server_id for deleted in deleted_page(store)]


def purge(store: Store, now: datetime, limit: int = 100) -> list[int]:
    with store.begin() as transaction:
        return list(transaction.deleted_servers.purge(now, limit))


def names(store: Store) -> list[str]:
    with store.begin() as transaction:
        return [server.name for server in transaction.servers.page(ServerFilter(), 0, 1000)]


def as_restored(before: Whole, name: str) -> Whole:
    """The same server, offline, not the default, and with this name."""
    presence = Presence(Status.OFFLINE, before.server.presence.last_seen, None, "grpc")
    return replace(
        before, server=replace(before.server, name=name, presence=presence, is_default=False)
    )


def test_a_deleted_server_is_gone_with_everything_that_belonged_to_it(store: Store) -> None:
    web = add_with_everything(store)
    [db] = add(store, "db")
    move_to_deleted(store, web)

    assert names(store) == ["db"]
    with pytest.raises(ServerNotFound):
        whole(store, web)
    with store.begin() as transaction:
        assert transaction.presences.lock([web, db]).keys() == {db}
        assert transaction.capability_reports.history(web) == []
        assert transaction.configurations.summaries(web) == []
        assert transaction.identities.get(web) == UNKNOWN_IDENTITY
        assert transaction.servers.find("web") is None


def test_a_deleted_server_is_listed_as_it_was(store: Store) -> None:
    web = add_with_everything(store)
    before = whole(store, web).server
    move_to_deleted(store, web, purged_at=NOW + 7 * DAY)

    assert before.labels == Labels(
        {"region": "nyc", "tier": "gold", "old": ""}, {"tier": "silver", "rack": "r2"}
    )
    assert (before.machine, before.address) == (7, "10.0.0.7")
    assert deleted_page(store) == [DeletedServer(before, NOW, NOW + 7 * DAY, CAUSE)]


def test_a_deleted_server_without_details_is_listed_as_it_was(store: Store) -> None:
    [bare] = add(store, "bare")
    before = whole(store, bare).server
    move_to_deleted(store, bare)

    assert [deleted.server for deleted in deleted_page(store)] == [before]
    assert restore(store, bare) == before


@pytest.mark.parametrize("name", ["", "db"])
def test_a_restored_server_is_byte_for_byte_what_it_was(store: Store, name: str) -> None:
    web = add_with_everything(store)
    before = whole(store, web)
    move_to_deleted(store, web)
    restored = restore(store, web, name)

    assert {each.name: each.document for each in before.documents if each} == DOCUMENTS
    assert [report.cpu_cores for _, report in before.equipment] == [16, 2, 16, 8]
    assert whole(store, web) == as_restored(before, name or "web")
    assert restored == whole(store, web).server
    assert deleted_page(store) == []
    with store.begin() as transaction:
        assert transaction.servers.find(name or "web") == restored


def test_a_restored_server_works_like_any_other(store: Store) -> None:
    web = add_with_everything(store)
    move_to_deleted(store, web)
    restore(store, web)
    with store.begin() as transaction:
        server = transaction.servers.get(web, lock=True)
        admitted = replace(server, approval=Approval.APPROVED, is_default=True)
        transaction.servers.save(admitted)
        assert transaction.presences.set({web: 0}, online_presence(NOW, INTERVAL)).keys() == {web}
        transaction.capability_reports.record({web: CAPABILITIES}, NOW)
        transaction.outbox.add([Event(EventKind.ONLINE, web, NOW)])
    [db] = add(store, "db")

    assert whole(store, web).server.presence == online_presence(NOW, INTERVAL)
    assert [report.cpu_cores for _, report in whole(store, web).equipment] == [16, 2, 16, 8, 16]
    assert db > web


def test_a_restored_server_does_not_become_the_default_again(store: Store) -> None:
    web = add_with_everything(store)
    move_to_deleted(store, web)
    db = add_with_everything(store, "db")
    restore(store, web)

    assert whole(store, db).server.is_default
    assert not whole(store, web).server.is_default


def test_the_name_of_a_deleted_server_is_free_but_its_id_is_not(store: Store) -> None:
    [web] = add(store, "web")
    move_to_deleted(store, web)
    [again] = add(store, "web")

    assert again > web
    assert deleted_ids(store) == [web]


def test_a_server_whose_name_is_taken_can_be_restored_under_another_name(store: Store) -> None:
    web = add_with_everything(store)
    before = whole(store, web)
    move_to_deleted(store, web)
    add(store, "web", "db")

    for name in ("", "web", "db"):
        with pytest.raises(ServerNameTaken) as refused:
            restore(store, web, name)
        assert refused.value.name == (name or "web")
    assert deleted_ids(store) == [web]
    restore(store, web, "old-web")
    assert whole(store, web) == as_restored(before, "old-web")


@pytest.mark.parametrize("server_id", [0, -1, 4711, 2**63 - 1, -(2**63)])
def test_an_unknown_server_cannot_be_restored(store: Store, server_id: int) -> None:
    with pytest.raises(DeletedServerNotFound) as missing:
        restore(store, server_id)

    assert missing.value.server_id == server_id


def test_an_existing_server_cannot_be_restored(store: Store) -> None:
    web = add_with_everything(store)
    before = whole(store, web)

    with pytest.raises(DeletedServerNotFound):
        restore(store, web, "other")
    assert whole(store, web) == before


def test_a_server_can_be_deleted_and_restored_again_and_again(store: Store) -> None:
    web = add_with_everything(store)
    before = whole(store, web)
    for day in range(3):
        move_to_deleted(store, web, now=NOW + day * DAY, purged_at=NOW + (day + 1) * DAY)
        [deleted] = deleted_page(store)

        assert (deleted.deleted_at, deleted.purged_at) == (NOW + day * DAY, NOW + (day + 1) * DAY)
        restore(store, web)
        assert whole(store, web) == as_restored(before, "web")


def test_many_servers_are_deleted_together_and_no_others(store: Store) -> None:
    full = [add_with_everything(store, f"full-{n}") for n in range(3)]
    bare = add(store, *(f"bare-{n}" for n in range(40)))
    before = {server_id: whole(store, server_id) for server_id in full}
    move_to_deleted(store, *full[:2], *bare[::2])

    assert deleted_ids(store) == sorted([*full[:2], *bare[::2]])
    assert names(store) == ["full-2", *(f"bare-{n}" for n in range(1, 40, 2))]
    assert whole(store, full[2]) == before[full[2]]
    restore(store, full[1])
    assert whole(store, full[1]) == as_restored(before[full[1]], "full-1")


def test_deleting_an_empty_list_deletes_no_server(store: Store) -> None:
    add(store, "web")
    move_to_deleted(store)

    assert names(store) == ["web"]
    assert deleted_page(store) == []


def test_pages_of_any_size_list_each_deleted_server_once_in_order(store: Store) -> None:
    ids = add(store, *(f"web-{n}" for n in range(7)))
    for server_id in reversed(ids):
        move_to_deleted(store, server_id)
    restore(store, ids.pop(3))

    for size in (1, 2, 3, 6, 100):
        walked: list[int] = []
        while page := deleted_page(store, walked[-1] if walked else 0, size):
            assert len(page) <= size
            walked += [deleted.server.server_id for deleted in page]
        assert walked == ids
    assert deleted_page(store, after=2**63 - 1) == []


def test_only_overdue_servers_are_purged(store: Store) -> None:
    ids = add(store, "a", "b", "c")
    for number, server_id in enumerate(ids):
        move_to_deleted(store, server_id, purged_at=NOW + number * SECOND)

    assert purge(store, NOW - SECOND) == []
    assert purge(store, NOW + SECOND) == ids[:2]
    assert deleted_ids(store) == ids[2:]
    assert purge(store, NOW + SECOND) == []
    with pytest.raises(DeletedServerNotFound):
        restore(store, ids[0])


def test_the_oldest_servers_are_purged_first_up_to_the_limit(store: Store) -> None:
    ids = add(store, "a", "b", "c", "d", "e")
    for number, server_id in enumerate(reversed(ids)):
        move_to_deleted(store, server_id, purged_at=NOW + number * SECOND)

    assert sorted(purge(store, NOW + DAY, limit=2)) == ids[3:]
    assert sorted(purge(store, NOW + DAY, limit=2)) == ids[1:3]
    assert purge(store, NOW + DAY, limit=2) == ids[:1]


def test_concurrent_purges_share_the_servers(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    ids = add(stores[0], *(f"web-{n}" for n in range(60)))
    move_to_deleted(stores[0], *ids)

    def purge_all(store: Store) -> list[int]:
        gone: list[int] = []
        while purged := purge(store, NOW + 31 * DAY, limit=7):
            gone += purged
        return gone

    gone = at_once([partial(purge_all, stores[n % 2]) for n in range(6)])

    assert sorted(server_id for some in gone for server_id in some) == ids
    assert deleted_page(stores[0]) == []


def test_one_of_many_concurrent_restores_succeeds(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    web = add_with_everything(stores[0])
    before = whole(stores[0], web)
    move_to_deleted(stores[0], web)

    def is_first(store: Store) -> bool:
        try:
            restore(store, web)
        except DeletedServerNotFound:
            return False
        return True

    assert sum(at_once([partial(is_first, stores[n % 2]) for n in range(8)])) == 1
    assert whole(stores[1], web) == as_restored(before, "web")


def try_to_restore(store: Store, server_id: int) -> int:
    try:
        return restore(store, server_id).server_id
    except ServerNameTaken:
        return 0


def find_or_add(store: Store, name: str) -> int:
    with store.begin() as transaction:
        return transaction.servers.find_or_add(name).server_id


def test_a_name_goes_either_to_the_restored_or_to_the_new_server(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store(), open_store()]
    for turn in range(10):
        [web] = add(stores[0], f"web-{turn}")
        move_to_deleted(stores[0], web)

        restored, joined = at_once(
            [
                partial(try_to_restore, stores[0], web),
                partial(find_or_add, stores[1], f"web-{turn}"),
            ]
        )

        assert restored in (0, web)
        assert joined == web if restored else joined > web
        assert deleted_ids(stores[0]).count(web) == (restored == 0)


class SomethingFailed(Exception):
    pass


@pytest.mark.parametrize("what", ["bury", "restore", "purge"])
def test_a_failed_deletion_or_restoration_changes_nothing(store: Store, what: str) -> None:
    web, db = add_with_everything(store), add_with_everything(store, "db")
    move_to_deleted(store, db)
    before, deleted = whole(store, web), deleted_page(store)

    def fail() -> None:
        with store.begin() as transaction:
            match what:
                case "bury":
                    transaction.deleted_servers.move_to_deleted([web], NOW, NOW + DAY, CAUSE)
                case "restore":
                    transaction.deleted_servers.restore(db)
                case "purge":
                    assert transaction.deleted_servers.purge(NOW + 31 * DAY, 10)
            raise SomethingFailed

    with pytest.raises(SomethingFailed):
        fail()
    assert whole(store, web) == before
    assert deleted_page(store) == deleted
    assert names(store) == ["web"]


def test_the_history_of_a_server_outlives_it(store: Store) -> None:
    [web] = add(store, "web")
    with store.begin() as transaction:
        transaction.outbox.add([Event(EventKind.DELETED, web, NOW, CAUSE)])
        transaction.deleted_servers.move_to_deleted([web], NOW, NOW, CAUSE)
    purge(store, NOW)

    with store.begin() as transaction:
        assert [entry.kind for entry in transaction.history.of(web)] == [EventKind.DELETED]
