"""Stores select servers by labels in the same way as the domain."""

from itertools import product

import pytest
from hypothesis import given, settings

from application.ports.store.servers import ServerFilter
from application.ports.store.store import Store
from domain.labels import parse_selector
from tests.support.selectors import selector_texts

# All combinations of three labels, one of which begins with a wildcard of LIKE.
FLEET = [
    {key: value for key, value in zip(("a", "b", "in"), values, strict=True) if value is not None}
    for values in product((None, "", "x", "y"), (None, "x"), (None, "in"))
]


@pytest.fixture
def fleet(store: Store) -> dict[int, dict[str, str]]:
    """The effective labels by server id. The labels of hosts do not count, because those of the
    operators override them."""
    by_id = {}
    with store.begin() as transaction:
        for number, labels in enumerate(FLEET):
            server_id = transaction.servers.add(f"box-{number}", "").server_id
            transaction.labels.set_host_labels(server_id, dict.fromkeys(labels, "set-by-the-host"))
            transaction.labels.set_operator_labels(server_id, labels)
            by_id[server_id] = labels
    return by_id


def test_a_store_selects_the_same_servers_as_the_domain(
    store: Store, fleet: dict[int, dict[str, str]]
) -> None:
    @settings(max_examples=150)
    @given(selector_texts())
    def check(text: str) -> None:
        selector = parse_selector(text)
        with store.begin() as transaction:
            servers = transaction.servers.page(ServerFilter(selector=selector), 0, 100)
            selected = transaction.servers.lock_selected(selector, 0, 100)
        expected = [server_id for server_id, labels in fleet.items() if selector.matches(labels)]

        assert [server.server_id for server in servers] == expected
        assert list(selected) == expected

    check()


def test_keys_and_values_are_case_sensitive(store: Store) -> None:
    with store.begin() as transaction:
        server_id = transaction.servers.add("web", "").server_id
        transaction.labels.set_host_labels(server_id, {"Tier": "Gold"})

    with store.begin() as transaction:
        for text, is_selected in (("Tier=Gold", 1), ("tier", 0), ("Tier=gold", 0)):
            selected = transaction.servers.lock_selected(parse_selector(text), 0, 100)
            assert len(selected) == is_selected, text
