"""Counters and histograms of a process of the API."""

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

# From the time to read one row up to that of a call that waits for a lock until it times out.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_SWEEP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ApiMetrics:
    """Registers the API's metrics in the registry that it gets.

    If PROMETHEUS_MULTIPROC_DIR is set before prometheus_client is imported, the values of all
    processes are in files in that directory, and the registry holds no values.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        # The names and labels of go-grpc-prometheus, so that existing dashboards and alerts fit.
        self._handled = Counter(
            "grpc_server_handled",
            "Answered calls, by method and code.",
            ["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
            registry=registry,
        )
        self._handling = Histogram(
            "grpc_server_handling_seconds",
            "Seconds from the arrival of a call to its answer.",
            ["grpc_type", "grpc_service", "grpc_method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._heartbeats = Counter(
            "manmanv2_heartbeats",
            "Heartbeats by transport and result.",
            ["via", "result"],
            registry=registry,
        )
        self._batch_size = Histogram(
            "manmanv2_heartbeat_batch_size",
            "Heartbeats written in one transaction.",
            ["via"],
            buckets=_BATCH_SIZES,
            registry=registry,
        )
        self._commit = Histogram(
            "manmanv2_heartbeat_commit_seconds",
            "Seconds to write a batch of heartbeats, including the commit.",
            ["via"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._sweep = Histogram(
            "manmanv2_sweep_seconds",
            "Seconds that a search for silent servers took.",
            buckets=_SWEEP_SECONDS,
            registry=registry,
        )
        self._sweep_failures = Counter(
            "manmanv2_sweep_failures", "Failed searches for silent servers.", registry=registry
        )
        self._expired = Counter(
            "manmanv2_servers_expired",
            "Servers set offline because their heartbeats stopped.",
            registry=registry,
        )
        self._published = Counter(
            "manmanv2_events_published",
            "Events that the broker confirmed, or that were dropped because there is no broker.",
            registry=registry,
        )
        self._dry_run_refusals = Counter(
            "manmanv2_dry_run_refusals",
            "Calls that ENFORCEMENT let through with a warning, by switch.",
            ["switch"],
            registry=registry,
        )
        self._deprecated_refusals = Counter(
            "manmanv2_would_reject",
            "Deprecated: use manmanv2_dry_run_refusals.",
            ["switch"],
            registry=registry,
        )

        # Looking a series up by its labels costs more than counting in it.
        self._series_of = cache(self._find_series)

    def call_handled(self, service: str, method: str, code: str, seconds: float) -> None:
        handled, handling = self._series_of(service, method, code)
        handled.inc()
        handling.observe(seconds)

    def heartbeats(self, via: str, record: RecordBatch) -> RecordBatch:
        """The given function, measured."""
        size, commit = self._batch_size.labels(via), self._commit.labels(via)
        acknowledged = self._heartbeats.labels(via, "acknowledged")
        unknown = self._heartbeats.labels(via, "unknown_server")
        refused = self._heartbeats.labels(via, "refused")
        invalid = self._heartbeats.labels(via, "invalid")
        failed = self._heartbeats.labels(via, "failed")

        def measured(batch: Sequence[Heartbeat]) -> Sequence[Acknowledged | ManManError]:
            if not batch:
                # A consumer checks whether the store is available.
                return record(batch)
            size.observe(len(batch))
            start = time.perf_counter()
            try:
                answers = record(batch)
            except Exception:
                failed.inc(len(batch))
                raise
            commit.observe(time.perf_counter() - start)
            errors = [answer for answer in answers if isinstance(answer, ManManError)]
            not_found = sum(isinstance(error, ServerNotFound) for error in errors)
            not_admitted = sum(
                isinstance(error, NotAdmitted | SupersededRegistration) for error in errors
            )
            acknowledged.inc(len(answers) - len(errors))
            unknown.inc(not_found)
            refused.inc(not_admitted)
            invalid.inc(len(errors) - not_found - not_admitted)
            return answers

        return measured

    def sweep(self, expire: Callable[[], Collection[int]]) -> Callable[[], Collection[int]]:
        """The given function, measured."""

        def measured() -> Collection[int]:
            with self._sweep.time(), self._sweep_failures.count_exceptions():
                expired = expire()
            self._expired.inc(len(expired))
            return expired

        return measured

    def events(self, events: Events) -> Events:
        """The given events, measured."""
        return _MeasuredEvents(events, self._published)

    def store(self, store: Store) -> Store:
        """The given store, which counts the dry-run refusals that it commits."""
        counters = (self._dry_run_refusals, self._deprecated_refusals)
        return _MeasuredStore(
            store, {switch: [each.labels(switch) for each in counters] for switch in Switch}
        )

    def _find_series(self, service: str, method: str, code: str) -> tuple[Counter, Histogram]:
        call = ("unary", service, method)
        return self._handled.labels(*call, code), self._handling.labels(*call)

    def broker_connection(self, set_connected: Callable[[bool], None]) -> Callable[[bool], None]:
        """The given function, which also sets the metric of the broker."""
        up = Gauge(
            "manmanv2_broker_up",
            "1 if the message broker accepts and delivers messages.",
            multiprocess_mode="livemin",
            registry=self._registry,
        )

        def measured(connected: bool) -> None:
            up.set(connected)
            set_connected(connected)

        return measured

    def certificate_expires(self) -> Callable[[datetime], None]:
        """A function to call with the end of each certificate that comes into use."""
        expires = Gauge(
            "manmanv2_tls_certificate_expires_timestamp_seconds",
            "Unix time at which the certificate that the API presents expires.",
            multiprocess_mode="livemin",
            registry=self._registry,
        )
        return lambda expires_at: expires.set(expires_at.timestamp())


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
    _counters: Mapping[Switch, Sequence[Counter]]

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        recorded: list[Switch] = []
        with self._store.begin() as transaction:
            measured: Any = _MeasuredTransaction(transaction, recorded)
            yield measured
        # Only after the commit: a refusal that was rolled back does not count.
        for switch in recorded:
            for counter in self._counters[switch]:
                counter.inc()


class _MeasuredTransaction:
    """The given transaction, which notes the switches of the dry-run refusals that it records."""

    def __init__(self, transaction: Transaction, recorded: list[Switch]) -> None:
        self._transaction = transaction
        self._recorded = recorded

    @property
    def dry_run_refusals(self) -> DryRunRefusals:
        return _MeasuredDryRunRefusals(self._transaction.dry_run_refusals, self._recorded)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)


@dataclass(frozen=True)
class _MeasuredDryRunRefusals:
    _refusals: DryRunRefusals
    _recorded: list[Switch]

    def record(self, switch: Switch, server_id: int, name: str, reason: str, now: datetime) -> None:
        self._refusals.record(switch, server_id, name, reason, now)
        self._recorded.append(switch)

    def page(self, after: int, size: int) -> Sequence[DryRunRefusal]:
        return self._refusals.page(after, size)

    def purge(self, not_since: datetime) -> int:
        return self._refusals.purge(not_since)
