"""What a process of the API counts while it works."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.ports.events import Events
from application.ports.store.dry_run_refusals import DryRunRefusal, DryRunRefusals
from application.ports.store.outbox import RecordedEvent
from application.ports.store.store import Store, Transaction
from domain.enforcement import Switch
from domain.errors import ManManError, NotAdmitted, ServerNotFound, SupersededRegistration

RecordBatch = Callable[[Sequence[Heartbeat]], Sequence[Acknowledged | ManManError]]

# From a read of one row to a call that waits for a lock until it is given up.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_SWEEP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ApiMetrics:
    """Counters and histograms in a registry of their own.

    With PROMETHEUS_MULTIPROC_DIR set before prometheus_client is imported, the values of all
    processes lie in files of that folder, and the registry holds none.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        # Named and labelled as go-grpc-prometheus does it, so that what is built on that fits.
        self._handled = Counter(
            "grpc_server_handled",
            "Calls that were answered, by method and code.",
            ["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
            registry=registry,
        )
        self._handling = Histogram(
            "grpc_server_handling_seconds",
            "Time from a call's arrival to its answer.",
            ["grpc_type", "grpc_service", "grpc_method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._heartbeats = Counter(
            "manmanv2_heartbeats",
            "Heartbeats by the way over which they came, and by what became of them.",
            ["via", "result"],
            registry=registry,
        )
        self._batch_size = Histogram(
            "manmanv2_heartbeat_batch_size",
            "Heartbeats that were written in one transaction.",
            ["via"],
            buckets=_BATCH_SIZES,
            registry=registry,
        )
        self._commit = Histogram(
            "manmanv2_heartbeat_commit_seconds",
            "Time that it took to write a batch of heartbeats, commit included.",
            ["via"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._sweep = Histogram(
            "manmanv2_sweep_seconds",
            "Time that a look for silent servers took.",
            buckets=_SWEEP_SECONDS,
            registry=registry,
        )
        self._sweep_failures = Counter(
            "manmanv2_sweep_failures", "Looks for silent servers that failed.", registry=registry
        )
        self._expired = Counter(
            "manmanv2_servers_expired",
            "Servers that were set offline because they were silent.",
            registry=registry,
        )
        self._published = Counter(
            "manmanv2_events_published",
            "Events that the broker has confirmed, or that were dropped where there is none.",
            registry=registry,
        )
        self._would_reject = Counter(
            "manmanv2_would_reject",
            "What switches that only warn would have refused.",
            ["switch"],
            registry=registry,
        )

        # To find a series by its labels costs more than to count in it.
        self._series_of = cache(self._find_series)

    def call_handled(self, service: str, method: str, code: str, seconds: float) -> None:
        handled, handling = self._series_of(service, method, code)
        handled.inc()
        handling.observe(seconds)

    def heartbeats(self, via: str, record: RecordBatch) -> RecordBatch:
        """The same, measured."""
        size, commit = self._batch_size.labels(via), self._commit.labels(via)
        acknowledged = self._heartbeats.labels(via, "acknowledged")
        unknown = self._heartbeats.labels(via, "unknown_server")
        not_admitted = self._heartbeats.labels(via, "refused")
        invalid = self._heartbeats.labels(via, "invalid")
        failed = self._heartbeats.labels(via, "failed")

        def measured(batch: Sequence[Heartbeat]) -> Sequence[Acknowledged | ManManError]:
            if not batch:
                # An inbox asks whether the store is well.
                return record(batch)
            size.observe(len(batch))
            start = time.perf_counter()
            try:
                answers = record(batch)
            except Exception:
                failed.inc(len(batch))
                raise
            commit.observe(time.perf_counter() - start)
            refused = [answer for answer in answers if isinstance(answer, ManManError)]
            not_found = sum(isinstance(answer, ServerNotFound) for answer in refused)
            turned_away = sum(
                isinstance(answer, NotAdmitted | SupersededRegistration) for answer in refused
            )
            acknowledged.inc(len(answers) - len(refused))
            unknown.inc(not_found)
            not_admitted.inc(turned_away)
            invalid.inc(len(refused) - not_found - turned_away)
            return answers

        return measured

    def sweep(self, expire: Callable[[], Collection[int]]) -> Callable[[], Collection[int]]:
        """The same, measured."""

        def measured() -> Collection[int]:
            with self._sweep.time(), self._sweep_failures.count_exceptions():
                expired = expire()
            self._expired.inc(len(expired))
            return expired

        return measured

    def events(self, events: Events) -> Events:
        """The same, measured."""
        return _MeasuredEvents(events, self._published)

    def store(self, store: Store) -> Store:
        """The same, measured."""
        counts = {switch: self._would_reject.labels(switch) for switch in Switch}
        return _MeasuredStore(store, counts)

    def _find_series(self, service: str, method: str, code: str) -> tuple[Counter, Histogram]:
        call = ("unary", service, method)
        return self._handled.labels(*call, code), self._handling.labels(*call)

    def listens(self, told: Callable[[bool], None]) -> Callable[[bool], None]:
        """The same, which also shows whether the broker is there."""
        up = Gauge(
            "manmanv2_broker_up",
            "Whether the message broker takes and gives messages.",
            multiprocess_mode="livemin",
            registry=self._registry,
        )

        def measured(listens: bool) -> None:
            up.set(listens)
            told(listens)

        return measured

    def certificate_expires(self) -> Callable[[datetime], None]:
        """To be told of each certificate that is in use from then on."""
        expires = Gauge(
            "manmanv2_tls_certificate_expires_timestamp_seconds",
            "When the certificate expires that is shown to who connects.",
            multiprocess_mode="livemin",
            registry=self._registry,
        )
        return lambda moment: expires.set(moment.timestamp())


@dataclass(frozen=True)
class _MeasuredEvents:
    _events: Events
    _published: Counter

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        self._events.publish(events)
        self._published.inc(len(events))


@dataclass(frozen=True)
class _MeasuredStore:
    _store: Store
    _would_reject: Mapping[Switch, Counter]

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        noted: list[Switch] = []
        with self._store.begin() as transaction:
            measured: Any = _MeasuredTransaction(transaction, noted)
            yield measured
        # Only what was written counts.
        for switch in noted:
            self._would_reject[switch].inc()


class _MeasuredTransaction:
    """Another one's, but for what is noted in it."""

    def __init__(self, transaction: Transaction, noted: list[Switch]) -> None:
        self._transaction = transaction
        self.would_rejects: DryRunRefusals = _MeasuredWouldRejects(transaction.would_rejects, noted)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)


@dataclass(frozen=True)
class _MeasuredWouldRejects:
    _would_rejects: DryRunRefusals
    _noted: list[Switch]

    def record(self, switch: Switch, server_id: int, name: str, reason: str, now: datetime) -> None:
        self._would_rejects.record(switch, server_id, name, reason, now)
        self._noted.append(switch)

    def page(self, after: int, size: int) -> Sequence[DryRunRefusal]:
        return self._would_rejects.page(after, size)

    def purge(self, not_since: datetime) -> int:
        return self._would_rejects.purge(not_since)
