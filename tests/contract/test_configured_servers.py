"""Changes of a configuration that affect many servers."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from application.ports.store.store import Store
from domain.labels import Selector, parse_selector
from domain.liveness import online_presence
from domain.server import Server
from tests.support.builders import INTERVAL, NOW, at_once

GOLD = parse_selector("tier=gold")


def add(store: Store, name: str, tier: str, revision: int = 0) -> Server:
    with store.begin() as transaction:
        server = transaction.servers.add(name, "production")
        transaction.servers.save(replace(server, config_revision=revision))
        transaction.labels.set_host_labels(server.server_id, {"tier": tier})
        return transaction.servers.get(server.server_id)


def get(store: Store, server_id: int) -> Server:
    with store.begin() as transaction:
        return transaction.servers.get(server_id)


def select(store: Store, selector: Selector, after: int = 0, size: int = 100) -> list[int]:
    with store.begin() as transaction:
        return list(transaction.servers.lock_selected(selector, after, size))


def configure(store: Store, *server_ids: int, revision: int, resync: bool = False) -> None:
    with store.begin() as transaction:
        transaction.servers.configure(server_ids, revision, resync=resync)


def test_selected_servers_are_listed_by_id_up_to_the_limit(store: Store) -> None:
    servers = [
        add(store, name, tier) for name, tier in zip("abcd", ("gold", "lead") * 2, strict=True)
    ]
    gold = [servers[0].server_id, servers[2].server_id]

    assert select(store, GOLD) == gold
    assert select(store, GOLD, size=1) == gold[:1]
    assert select(store, GOLD, after=gold[0]) == gold[1:]
    assert select(store, GOLD, after=gold[1]) == []


def test_the_highest_revision_of_all_servers_is_returned(store: Store) -> None:
    with store.begin() as transaction:
        assert transaction.servers.highest_revision() == 0

    for name, revision in (("a", 7), ("b", 2**40), ("c", 0)):
        add(store, name, "gold", revision)

    with store.begin() as transaction:
        assert transaction.servers.highest_revision() == 2**40


def test_a_new_revision_changes_nothing_else_and_no_other_server(store: Store) -> None:
    one, other, third = add(store, "a", "gold", 3), add(store, "b", "gold"), add(store, "c", "gold")
    configure(store, one.server_id, other.server_id, revision=5)

    assert get(store, one.server_id) == replace(one, config_revision=5)
    assert get(store, other.server_id) == replace(other, config_revision=5)
    assert get(store, third.server_id) == third


def test_a_resync_stays_until_the_next_one(store: Store) -> None:
    web = add(store, "web", "gold")
    configure(store, web.server_id, revision=5, resync=True)
    configure(store, web.server_id, revision=6)

    assert get(store, web.server_id) == replace(web, config_revision=6, config_resync=5)

    with store.begin() as transaction:
        server = transaction.servers.get(web.server_id, lock=True)
        transaction.servers.save(server.configured(9, resync=True))

    assert get(store, web.server_id) == replace(web, config_revision=9, config_resync=9)


def test_a_server_with_that_revision_or_a_higher_one_gets_its_next_revision_and_a_resync(
    store: Store,
) -> None:
    same, higher = add(store, "same", "gold", 5), add(store, "higher", "gold", 8)
    behind = add(store, "behind", "gold", 4)
    configure(store, same.server_id, higher.server_id, behind.server_id, revision=5)
    configured = [get(store, server.server_id) for server in (same, higher, behind)]

    assert [(server.config_revision, server.config_resync) for server in configured] == [
        (6, 6),
        (9, 9),
        (5, 0),
    ]


def test_an_empty_list_of_servers_can_be_configured(store: Store) -> None:
    web = add(store, "web", "gold")
    configure(store, revision=5)

    assert get(store, web.server_id) == web


def test_a_change_for_many_servers_and_their_heartbeats_never_deadlock(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store(), open_store()]
    ids = [add(stores[0], f"box-{number}", "gold").server_id for number in range(40)]

    def change(store: Store) -> None:
        for _ in range(10):
            with store.begin() as transaction:
                selected = transaction.servers.lock_selected(GOLD, 0, 100)
                transaction.servers.configure(selected, 1, resync=False)

    def beat(store: Store, order: list[int]) -> None:
        for _ in range(20):
            with store.begin() as transaction:
                transaction.presences.set(dict.fromkeys(order, 0), online_presence(NOW, INTERVAL))

    at_once(
        [
            partial(change, stores[0]),
            partial(change, stores[1]),
            partial(beat, stores[0], ids),
            partial(beat, stores[1], ids[::-1]),
        ]
    )

    assert {get(stores[0], server_id).config_revision for server_id in ids} == {20}
