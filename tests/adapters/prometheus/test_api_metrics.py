"""The counters of calls that ENFORCEMENT let through with a warning."""

import pytest
from prometheus_client import CollectorRegistry

from adapters.memory.store import MemoryStore
from adapters.prometheus.api_metrics import ApiMetrics
from application.ports.store.store import Store
from domain.enforcement import Switch
from domain.errors import ServerNotFound
from tests.support.builders import NOW

COUNTER = "manmanv2_dry_run_refusals"
DEPRECATED_COUNTER = "manmanv2_would_reject"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def store(registry: CollectorRegistry) -> Store:
    return ApiMetrics(registry).store(MemoryStore())


def count(registry: CollectorRegistry, switch: Switch, counter: str = COUNTER) -> float | None:
    return registry.get_sample_value(f"{counter}_total", {"switch": switch})


def record(store: Store, *switches: Switch, then_fail: bool = False) -> None:
    with store.begin() as transaction:
        for switch in switches:
            transaction.dry_run_refusals.record(switch, 7, "web", "because", NOW)
        if then_fail:
            transaction.servers.get(4711)


def test_dry_run_refusals_are_counted_by_switch(registry: CollectorRegistry, store: Store) -> None:
    record(store, Switch.BAN, Switch.EPOCH, Switch.BAN)
    record(store, Switch.BAN)

    counts = {switch: count(registry, switch) for switch in Switch}
    assert counts == {**dict.fromkeys(Switch, 0), Switch.BAN: 3, Switch.EPOCH: 1}


def test_the_deprecated_counter_has_the_same_values_and_names_the_new_one(
    registry: CollectorRegistry, store: Store
) -> None:
    record(store, Switch.BAN, Switch.EPOCH, Switch.BAN)

    for switch in Switch:
        assert count(registry, switch, DEPRECATED_COUNTER) == count(registry, switch)
    [family] = [each for each in registry.collect() if each.name == DEPRECATED_COUNTER]
    assert family.documentation == f"Deprecated: use {COUNTER}."


def test_a_refusal_that_is_rolled_back_is_not_counted(
    registry: CollectorRegistry, store: Store
) -> None:
    with pytest.raises(ServerNotFound):
        record(store, Switch.BAN, then_fail=True)

    assert count(registry, Switch.BAN) == 0


def test_the_measured_store_passes_every_other_call_on(store: Store) -> None:
    record(store, Switch.BAN)
    with store.begin() as transaction:
        web = transaction.servers.add("web", "")
        [entry] = transaction.dry_run_refusals.page(0, 10)

    assert entry.name == "web"
    with store.begin() as transaction:
        assert transaction.servers.get(web.server_id) == web
        assert transaction.dry_run_refusals.purge(NOW) == 0
        with pytest.raises(ServerNotFound):
            transaction.servers.get(4711)
