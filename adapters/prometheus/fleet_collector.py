"""What is counted at the moment of a scrape, because the store knows it and no process does."""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from application.operations.count_fleet import FleetStatistics
from application.ports.store.store import StoreFailed, StoreUnavailable

_MIB = 1024 * 1024


class FleetCollector(Collector):
    """`take_stock` raises StoreUnavailable and StoreFailed, within a bounded time."""

    def __init__(self, count_fleet: Callable[[], FleetStatistics]) -> None:
        self._take_stock = count_fleet

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            stock = self._take_stock()
        except (StoreUnavailable, StoreFailed):
            yield _store_up(0)
            return
        yield _store_up(1)
        servers = GaugeMetricFamily(
            "manmanv2_servers",
            "Servers by status and environment.",
            labels=["status", "environment"],
        )
        for (status, environment), count in stock.servers.items():
            servers.add_metric([status, environment], count)
        yield servers
        yield GaugeMetricFamily(
            "manmanv2_machines",
            "Machines on which servers are online, however many on each.",
            stock.hardware.machines,
        )
        yield GaugeMetricFamily(
            "manmanv2_machines_cpu_cores",
            "CPU cores that these machines have, as their hosts report them.",
            stock.hardware.cpu_cores,
        )
        yield GaugeMetricFamily(
            "manmanv2_machines_memory_bytes",
            "Memory that these machines have, as their hosts report it.",
            stock.hardware.total_memory_mb * _MIB,
        )
        yield GaugeMetricFamily(
            "manmanv2_servers_pending",
            "Servers that wait for an operator's approval.",
            stock.pending_servers,
        )
        yield GaugeMetricFamily(
            "manmanv2_conflicts_open",
            "Names that two machines claim and no operator has given to either.",
            stock.open_conflicts,
        )
        yield GaugeMetricFamily(
            "manmanv2_heartbeat_interval_seconds",
            "The interval that hosts of a fleet of this size are told.",
            stock.heartbeat_interval.total_seconds(),
        )
        yield GaugeMetricFamily(
            "manmanv2_outbox_events", "Events that wait to be published.", stock.waiting_events
        )
        yield GaugeMetricFamily(
            "manmanv2_outbox_oldest_event_age_seconds",
            "How long the oldest of them has been waiting, 0 when none waits.",
            stock.oldest_event_age.total_seconds(),
        )


def _store_up(value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily("manmanv2_store_up", "Whether the store answers.", value)
