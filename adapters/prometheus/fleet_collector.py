"""Metrics that are counted in the store at each scrape, because no process knows them."""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from application.operations.count_fleet import FleetStatistics
from application.ports.store.store import StoreFailed, StoreUnavailable

_MIB = 1024 * 1024


class FleetCollector(Collector):
    """`count_fleet` raises StoreUnavailable and StoreFailed, within a bounded time."""

    def __init__(self, count_fleet: Callable[[], FleetStatistics]) -> None:
        self._count_fleet = count_fleet

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            fleet = self._count_fleet()
        except (StoreUnavailable, StoreFailed):
            yield _store_up(0)
            return
        yield _store_up(1)
        servers = GaugeMetricFamily(
            "manmanv2_servers",
            "Servers by status and environment.",
            labels=["status", "environment"],
        )
        for (status, environment), count in fleet.servers.items():
            servers.add_metric([status, environment], count)
        yield servers
        yield GaugeMetricFamily(
            "manmanv2_machines",
            "Machines with at least one online server.",
            fleet.hardware.machines,
        )
        yield GaugeMetricFamily(
            "manmanv2_machines_cpu_cores",
            "CPU cores of these machines, as reported by their hosts.",
            fleet.hardware.cpu_cores,
        )
        yield GaugeMetricFamily(
            "manmanv2_machines_memory_bytes",
            "Memory of these machines, as reported by their hosts.",
            fleet.hardware.total_memory_mb * _MIB,
        )
        yield GaugeMetricFamily(
            "manmanv2_servers_pending",
            "Servers waiting for an operator's approval.",
            fleet.pending_servers,
        )
        yield GaugeMetricFamily(
            "manmanv2_conflicts_open",
            "Names claimed by two machines, not yet decided by an operator.",
            fleet.open_conflicts,
        )
        yield GaugeMetricFamily(
            "manmanv2_heartbeat_interval_seconds",
            "Seconds between heartbeats that the API asks of hosts, for a fleet of this size.",
            fleet.heartbeat_interval.total_seconds(),
        )
        yield GaugeMetricFamily(
            "manmanv2_outbox_events", "Events waiting to be published.", fleet.waiting_events
        )
        yield GaugeMetricFamily(
            "manmanv2_outbox_oldest_event_age_seconds",
            "Age of the oldest waiting event in seconds, 0 if no event waits.",
            fleet.oldest_event_age.total_seconds(),
        )


def _store_up(value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily("manmanv2_store_up", "1 if the store answers.", value)
