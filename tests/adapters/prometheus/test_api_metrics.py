"""What the API counts of what its switches would have refused."""

import pytest
from prometheus_client import CollectorRegistry

from adapters.memory.store import MemoryStore
from adapters.prometheus.api_metrics import ApiMetrics
from application.ports.store.store import Store
from domain.enforcement import Switch
from domain.errors import ServerNotFound
from tests.support.builders import NOW


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def store(registry: CollectorRegistry) -> Store:
    return ApiMetrics(registry).store(MemoryStore())


def counted(registry: CollectorRegistry, switch: Switch) -> float | None:
    return registry.get_sample_value("manmanv2_would_reject_total", {"switch": switch})


def note(store: Store, *switches: Switch, then_fail: bool = False) -> None:
    with store.begin() as transaction:
        for switch in switches:
            transaction.would_rejects.record(switch, 7, "web", "because", NOW)
        if then_fail:
            transaction.servers.get(4711)


def test_what_would_be_refused_is_counted_by_its_switch(
    registry: CollectorRegistry, store: Store
) -> None:
    note(store, Switch.BAN, Switch.EPOCH, Switch.BAN)
    note(store, Switch.BAN)

    counts = {switch: counted(registry, switch) for switch in Switch}
    assert counts == {**dict.fromkeys(Switch, 0), Switch.BAN: 3, Switch.EPOCH: 1}


def test_what_was_undone_is_not_counted(registry: CollectorRegistry, store: Store) -> None:
    with pytest.raises(ServerNotFound):
        note(store, Switch.BAN, then_fail=True)

    assert counted(registry, Switch.BAN) == 0


def test_all_else_of_a_transaction_goes_through(store: Store) -> None:
    note(store, Switch.BAN)
    with store.begin() as transaction:
        web = transaction.servers.add("web", "")
        [entry] = transaction.would_rejects.page(0, 10)

    assert entry.name == "web"
    with store.begin() as transaction:
        assert transaction.servers.get(web.server_id) == web
        assert transaction.would_rejects.purge(NOW) == 0
        with pytest.raises(ServerNotFound):
            transaction.servers.get(4711)
