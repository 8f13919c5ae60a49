from collections.abc import Mapping

import pytest

from application.ports.store.servers import ServerFilter
from application.ports.store.store import Store
from domain.labels import NO_LABELS, Labels
from domain.server import Server


@pytest.fixture
def web(store: Store) -> int:
    with store.begin() as transaction:
        return transaction.servers.find_or_add("web").server_id


def get(store: Store, server_id: int) -> Server:
    with store.begin() as transaction:
        return transaction.servers.get(server_id)


def set_host_labels(store: Store, server_id: int, labels: Mapping[str, str]) -> bool:
    with store.begin() as transaction:
        transaction.servers.get(server_id, lock=True)
        return transaction.labels.set_host_labels(server_id, labels)


def set_operator_labels(store: Store, server_id: int, labels: Mapping[str, str]) -> bool:
    with store.begin() as transaction:
        transaction.servers.get(server_id, lock=True)
        return transaction.labels.set_operator_labels(server_id, labels)


def test_a_new_server_has_no_labels(store: Store, web: int) -> None:
    assert get(store, web).labels == NO_LABELS


def test_labels_of_the_host_and_of_operators_are_stored_separately(store: Store, web: int) -> None:
    set_host_labels(store, web, {"region": "nyc", "tier": "gold", "empty": ""})
    set_operator_labels(store, web, {"tier": "silver", "example.com/rack": "7"})

    assert get(store, web).labels == Labels(
        {"region": "nyc", "tier": "gold", "empty": ""}, {"tier": "silver", "example.com/rack": "7"}
    )


def test_labels_are_replaced_as_a_whole(store: Store, web: int) -> None:
    set_operator_labels(store, web, {"tier": "silver"})
    set_host_labels(store, web, {"region": "nyc", "tier": "gold"})
    set_host_labels(store, web, {"zone": "a"})

    assert get(store, web).labels == Labels({"zone": "a"}, {"tier": "silver"})

    set_operator_labels(store, web, {})

    assert get(store, web).labels == Labels({"zone": "a"}, {})


def test_the_result_says_whether_an_effective_label_changed(store: Store, web: int) -> None:
    assert not set_host_labels(store, web, {})
    assert set_host_labels(store, web, {"tier": "gold"})
    assert not set_host_labels(store, web, {"tier": "gold"})
    # An operator sets the same value, and then the host sets another one, which does not count.
    assert not set_operator_labels(store, web, {"tier": "gold"})
    assert not set_host_labels(store, web, {"tier": "silver"})
    assert not set_host_labels(store, web, {})
    assert set_operator_labels(store, web, {})


def test_every_query_returns_servers_with_their_labels(store: Store, web: int) -> None:
    set_host_labels(store, web, {"tier": "gold"})
    with store.begin() as transaction:
        db = transaction.servers.add("db", "")
    set_operator_labels(store, db.server_id, {"tier": "silver"})
    gold, silver = Labels({"tier": "gold"}), Labels({}, {"tier": "silver"})

    with store.begin() as transaction:
        servers = transaction.servers
        assert [server.labels for server in servers.page(ServerFilter(), 0, 10)] == [gold, silver]
        assert servers.find_or_add("web").labels == gold
        assert servers.get(web, lock=True).labels == gold
        assert servers.lock_with_default(web).labels == gold


def test_saving_a_server_does_not_change_its_labels(store: Store, web: int) -> None:
    before = get(store, web)
    set_host_labels(store, web, {"tier": "gold"})
    with store.begin() as transaction:
        transaction.servers.get(web, lock=True)
        transaction.servers.save(before)

    assert get(store, web).labels == Labels({"tier": "gold"})


def test_labels_are_deleted_with_their_server(store: Store, web: int) -> None:
    set_host_labels(store, web, {"tier": "gold"})
    with store.begin() as transaction:
        transaction.servers.remove(web)
        again = transaction.servers.find_or_add("web")

    assert again.labels == NO_LABELS
