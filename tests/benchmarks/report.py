"""The results of the rounds as text. Ratios are medians of each round's own ratio, since the
machine's speed drifts from round to round."""

from collections.abc import Callable, Iterator
from math import isnan
from statistics import median

from tests.benchmarks.measurement import Measurement, Round
from tests.benchmarks.subjects import (
    APIS,
    COMMIT_PER_HEARTBEAT,
    EMPTY_HANDLER,
    EMPTY_HANDLER_ON_UVLOOP,
    OVER_AMQP,
    UPDATE_PER_HEARTBEAT,
)

TARGET_OF_EMPTY_HANDLER = 0.8
TARGET_PER_CPU_SECOND = 3.0

Figure = Callable[[Measurement], float]

_HEADINGS = (
    *("", "heartbeats/s", "server", "database", "broker", "load", "p50", "p99"),
    *("/ empty", "/ on uvloop", "per CPU / UPDATE", "per CPU / commit"),
)
_UNITS = ("", "", "CPU ms", "CPU ms", "CPU ms", "CPU ms", "ms", "ms", "", "", "", "")


def report(rounds: list[Round]) -> Iterator[str]:
    table = [_HEADINGS, _UNITS, *(_row(rounds, name) for name in rounds[0])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, *figures in table:
        cells = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
        yield "  ".join([name.ljust(widths[0]), *cells]).rstrip()
    yield "CPU ms: CPU time per heartbeat; 'load' is the load generator."
    yield "/ empty, / on uvloop: heartbeats/s divided by those of the empty handler on either"
    yield "event loop."
    yield "per CPU: heartbeats per CPU second of server, database and broker together, divided by"
    yield "those of the hand-written UPDATE and of the API without group commit."
    yield "Over AMQP, all heartbeats are in the queue when the API starts to consume."
    yield ""
    for name in APIS:
        yield _verdict(rounds, name)
    over_amqp = _ratio(rounds, OVER_AMQP, APIS[0], _per_second)
    yield f"{OVER_AMQP}: {over_amqp:.1f} times as many heartbeats per second as over gRPC"


def _row(rounds: list[Round], name: str) -> tuple[str, ...]:
    def middle(figure: Figure) -> float:
        return median(figure(measured[name]) for measured in rounds)

    return (
        name,
        f"{middle(_per_second):,.0f}",
        f"{middle(lambda one: one.server_cpu):.3f}",
        f"{middle(lambda one: one.database_cpu):.3f}",
        f"{middle(lambda one: one.broker_cpu):.3f}",
        f"{middle(lambda one: one.generator_cpu):.3f}",
        _ms(middle(lambda one: one.p50_ms)),
        _ms(middle(lambda one: one.p99_ms)),
        f"{_ratio(rounds, name, EMPTY_HANDLER, _per_second):.2f}",
        f"{_ratio(rounds, name, EMPTY_HANDLER_ON_UVLOOP, _per_second):.2f}",
        f"{_ratio(rounds, name, UPDATE_PER_HEARTBEAT, _per_cpu_second):.2f}",
        f"{_ratio(rounds, name, COMMIT_PER_HEARTBEAT, _per_cpu_second):.2f}",
    )


def _ms(latency: float) -> str:
    return "-" if isnan(latency) else f"{latency:.1f}"


def _verdict(rounds: list[Round], name: str) -> str:
    of_empty = _ratio(rounds, name, EMPTY_HANDLER, _per_second)
    ungrouped = _ratio(rounds, name, COMMIT_PER_HEARTBEAT, _per_cpu_second)
    by_hand = _ratio(rounds, name, UPDATE_PER_HEARTBEAT, _per_cpu_second)
    empty = _ratio(rounds, EMPTY_HANDLER, UPDATE_PER_HEARTBEAT, _per_cpu_second)
    return (
        f"{name}: {of_empty:.2f} times the rate of the empty handler"
        f" (target {TARGET_OF_EMPTY_HANDLER}: {_reached(of_empty, TARGET_OF_EMPTY_HANDLER)});"
        f" {ungrouped:.1f} times the heartbeats per CPU second of the API without group commit"
        f" (target {TARGET_PER_CPU_SECOND:.0f}: {_reached(ungrouped, TARGET_PER_CPU_SECOND)}),"
        f" {by_hand:.1f} times those of the hand-written UPDATE"
        f" (the empty handler: {empty:.1f} times)"
    )


def _ratio(rounds: list[Round], name: str, reference: str, figure: Figure) -> float:
    return median(figure(measured[name]) / figure(measured[reference]) for measured in rounds)


def _reached(ratio: float, target: float) -> str:
    return "reached" if ratio >= target else "missed"


def _per_second(measurement: Measurement) -> float:
    return measurement.per_second


def _per_cpu_second(measurement: Measurement) -> float:
    return measurement.per_cpu_second
