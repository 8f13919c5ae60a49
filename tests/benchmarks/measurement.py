import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from random import Random
from statistics import quantiles

from tests.benchmarks import cpu
from tests.benchmarks.load import NeverAllAtOnce
from tests.benchmarks.subjects import Subject

# Time for the work that the last load left: files to write, connections to close.
_REST_SECONDS = 1.0


class NotWritten(Exception):
    """A server acknowledged heartbeats that are not in its store."""


@dataclass(frozen=True)
class Measurement:
    """One subject under the load once. CPU in seconds per 1,000 heartbeats, latencies in
    ms, or NaN if hosts do not wait for answers."""

    per_second: float
    server_cpu: float
    database_cpu: float
    broker_cpu: float
    generator_cpu: float
    p50_ms: float
    p99_ms: float

    @property
    def per_cpu_second(self) -> float:
        """Heartbeats per CPU second of server, database and broker together; NaN if the CPU time
        was too short to be counted."""
        used = self.server_cpu + self.database_cpu + self.broker_cpu
        return 1000 / used if used else nan


Round = dict[str, Measurement]


def measure_rounds(
    subjects: list[Subject], rounds: int, heartbeats_per_host: int
) -> Iterator[Round]:
    """Measure every subject once per round, after a warm-up. Each round has another order, so that
    no subject always follows the same one."""
    for subject in subjects:
        subject.run_load(subject.server, subject.server_ids, heartbeats_per_host)
    orders = Random(0)
    for _ in range(rounds):
        measured = {
            subject.name: _measure_at_most_twice(subject, heartbeats_per_host)
            for subject in orders.sample(subjects, len(subjects))
        }
        yield {subject.name: measured[subject.name] for subject in subjects}


def _measure_at_most_twice(subject: Subject, heartbeats_per_host: int) -> Measurement:
    try:
        return measure(subject, heartbeats_per_host)
    except NeverAllAtOnce as error:
        # This happened once in 400 loads, and must not discard all rounds.
        print(f"{subject.name}: {error}; measuring it again", file=sys.stderr)
        return measure(subject, heartbeats_per_host)


def measure(subject: Subject, heartbeats_per_host: int) -> Measurement:
    """Raises WrongReplies, NeverAllAtOnce and NotWritten."""
    time.sleep(_REST_SECONDS)
    seen_before = subject.last_seen() if subject.last_seen else {}
    before = _cpu_of(subject)
    load = subject.run_load(subject.server, subject.server_ids, heartbeats_per_host)
    after = _cpu_of(subject)
    if subject.last_seen:
        seen = subject.last_seen()
        unmoved = [one for one in subject.server_ids if seen[one] <= seen_before[one]]
        if unmoved:
            raise NotWritten(f"{subject.name}: last_seen did not change for the servers {unmoved}")
    thousands = load.heartbeats / 1000
    percentiles = quantiles(load.latencies_ms, n=100) if load.latencies_ms else [nan] * 99
    return Measurement(
        per_second=load.per_second,
        server_cpu=(after[0] - before[0]) / thousands,
        database_cpu=(after[1] - before[1]) / thousands,
        broker_cpu=(after[2] - before[2]) / thousands,
        generator_cpu=load.generator_cpu_seconds / thousands,
        p50_ms=percentiles[49],
        p99_ms=percentiles[98],
    )


def _cpu_of(subject: Subject) -> list[float]:
    """CPU seconds of the server, of its database and of its broker."""
    pids = (subject.server.pid, subject.postgres_pid, subject.broker_pid)
    return [cpu.seconds(pid) if pid else 0.0 for pid in pids]
