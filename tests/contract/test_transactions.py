from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest

from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.ports.store.servers import ServerFilter
from application.ports.store.store import Store, Transaction
from application.registration.register_server import Registration
from domain.capabilities import Capabilities
from domain.configuration import Configuration
from domain.liveness import offline_presence, online_presence
from domain.server import Server
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND
from tests.support.fleet import Fleet


class SomethingFailed(Exception):
    pass


Content = list[tuple[Server, list[tuple[datetime, Capabilities]], list[Configuration | None]]]


def content(store: Store) -> Content:
    """Everything that can be read from a store."""
    with store.begin() as transaction:
        return [
            (
                server,
                transaction.capability_reports.history(server.server_id),
                [
                    transaction.configurations.get(server.server_id, summary.name)
                    for summary in transaction.configurations.summaries(server.server_id)
                ],
            )
            for server in transaction.servers.page(ServerFilter(), 0, 100)
        ]


def fill(transaction: Transaction) -> None:
    """Add servers with consecutive ids, capabilities and a document each."""
    for name in ("a", "b", "c", "d"):
        server = replace(
            transaction.servers.find_or_add(name),
            environment="production",
            presence=online_presence(NOW, INTERVAL),
            is_default=name == "b",
            config_revision=1,
        )
        transaction.servers.save(server)
        transaction.capability_reports.record({server.server_id: CAPABILITIES}, NOW)
        transaction.configurations.put(server.server_id, Configuration("x", "{}", 1, NOW))


def ids(transaction: Transaction) -> list[int]:
    return [server.server_id for server in transaction.servers.page(ServerFilter(), 0, 100)]


def add_servers(transaction: Transaction) -> None:
    transaction.servers.find_or_add("e")
    transaction.servers.add("f", "test")


def rename_a_server(transaction: Transaction) -> None:
    server = transaction.servers.get(ids(transaction)[0], lock=True)
    transaction.servers.save(replace(server, name="z", environment="", config_revision=9))


def move_the_mark_of_the_default(transaction: Transaction) -> None:
    server = transaction.servers.get(ids(transaction)[2], lock=True)
    transaction.servers.save(replace(server, is_default=True))


def hear_heartbeats(transaction: Transaction) -> None:
    staying, leaving = ids(transaction)[:2], ids(transaction)[2:]
    transaction.presences.set(dict.fromkeys(staying, 0), online_presence(NOW + SECOND, INTERVAL))
    transaction.presences.set(dict.fromkeys(leaving, 0), offline_presence(NOW + SECOND))


def expire_everybody(transaction: Transaction) -> None:
    assert transaction.presences.expire(NOW + 100 * INTERVAL)


def record_other_equipment(transaction: Transaction) -> None:
    other = replace(CAPABILITIES, cpu_cores=2)
    transaction.capability_reports.record(dict.fromkeys(ids(transaction), other), NOW + SECOND)


def change_documents(transaction: Transaction) -> None:
    first, second, third, *_ = ids(transaction)
    transaction.configurations.put(first, Configuration("x", "[]", 2, NOW + SECOND))
    transaction.configurations.put(second, Configuration("y", "[]", 2, NOW + SECOND))
    assert transaction.configurations.remove(third, "x")


def remove_servers(transaction: Transaction) -> None:
    for server_id in ids(transaction)[:3]:
        transaction.servers.remove(server_id)


def put_another_in_the_place_of_one(transaction: Transaction) -> None:
    transaction.servers.remove(ids(transaction)[0])
    transaction.servers.add("a", "test")


CHANGES: list[Callable[[Transaction], None]] = [
    add_servers,
    rename_a_server,
    move_the_mark_of_the_default,
    hear_heartbeats,
    expire_everybody,
    record_other_equipment,
    change_documents,
    remove_servers,
    put_another_in_the_place_of_one,
]


def change_and_fail(store: Store, *changes: Callable[[Transaction], None]) -> None:
    with store.begin() as transaction:
        for change in changes:
            change(transaction)
        raise SomethingFailed


@pytest.mark.parametrize("change", CHANGES)
def test_a_transaction_that_raises_is_undone(
    store: Store, change: Callable[[Transaction], None]
) -> None:
    with store.begin() as transaction:
        fill(transaction)
    before = content(store)

    with pytest.raises(SomethingFailed):
        change_and_fail(store, change)

    assert content(store) == before


def test_all_changes_of_a_transaction_are_undone_together(store: Store) -> None:
    with store.begin() as transaction:
        fill(transaction)
    before = content(store)

    with pytest.raises(SomethingFailed):
        change_and_fail(
            store,
            hear_heartbeats,
            expire_everybody,
            move_the_mark_of_the_default,
            record_other_equipment,
            change_documents,
            rename_a_server,
            add_servers,
            remove_servers,
            fill,
        )

    assert content(store) == before


def test_a_store_works_after_a_transaction_that_raised(store: Store) -> None:
    with pytest.raises(SomethingFailed):
        change_and_fail(store, fill)
    with store.begin() as transaction:
        fill(transaction)

    assert [server.name for server, _, _ in content(store)] == ["a", "b", "c", "d"]


def test_every_other_store_sees_committed_data(open_store: Callable[[], Store]) -> None:
    one, other = open_store(), open_store()
    with one.begin() as transaction:
        fill(transaction)

    assert content(other) == content(one)
    assert len(content(other)) == 4


def test_everything_that_belongs_to_a_server_is_deleted_with_it(store: Store) -> None:
    with store.begin() as transaction:
        fill(transaction)
        _, *others = ids(transaction)
    before = content(store)
    with store.begin() as transaction:
        gone = ids(transaction)[0]
        transaction.servers.remove(gone)

    assert content(store) == before[1:]
    with store.begin() as transaction:
        assert transaction.capability_reports.history(gone) == []
        assert transaction.configurations.summaries(gone) == []
        assert transaction.presences.lock([gone, *others]).keys() == set(others)


REPOSITORIES = {name for name, port in vars(Transaction).items() if isinstance(port, property)}


@dataclass
class StoreThatRemembersTransactions:
    store: Store
    transactions: list[Transaction] = field(default_factory=list)

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        with self.store.begin() as transaction:
            self.transactions.append(transaction)
            yield transaction

    def built_repositories(self) -> list[set[str]]:
        return [REPOSITORIES & vars(transaction).keys() for transaction in self.transactions]


def test_a_transaction_of_heartbeats_builds_only_the_repositories_that_it_uses(
    store: Store,
) -> None:
    servers = [Fleet(store).register(Registration(name)).server for name in ("a", "b")]
    heartbeats = [Heartbeat(s.server_id, CAPABILITIES, epoch=s.epoch) for s in servers]
    observed = StoreThatRemembersTransactions(store)
    answers = Fleet(observed).heartbeat(heartbeats)

    assert [type(answer) for answer in answers] == [Acknowledged, Acknowledged]
    assert observed.built_repositories() == [{"presences", "capability_reports", "outbox"}]


def test_a_transaction_builds_each_repository_once(store: Store) -> None:
    with store.begin() as transaction:
        for name in REPOSITORIES:
            assert getattr(transaction, name) is getattr(transaction, name)
