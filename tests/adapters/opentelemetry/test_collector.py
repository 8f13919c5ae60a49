"""The logs of failures of the collector."""

import logging
from collections.abc import Iterator

import pytest

from adapters.opentelemetry.collector import tracing_to_collector
from tests.support.canary_secrets import canary
from tests.support.collector import Collector, running_collector
from tests.support.processes import eventually


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


def test_a_failure_of_the_collector_is_logged_once_and_so_is_its_recovery(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    url = f"{collector.variables['OTEL_EXPORTER_OTLP_ENDPOINT']}/v1/traces"
    secret = url.replace("http://", f"http://user:{canary('collector password')}@")
    tracing = tracing_to_collector(secret, "OTEL_EXPORTER_OTLP_ENDPOINT", "tests", "1")
    for turn in range(6):
        collector.status = 400 if turn < 3 else 200
        with tracing.span(f"turn {turn}"):
            pass
        eventually(lambda turn=turn: collector.answers > turn, "the span to be sent")  # type: ignore[misc]
    tracing.close()
    address = url.removeprefix("http://").partition("/")[0]

    assert [span.name for span in collector.spans] == ["turn 3", "turn 4", "turn 5"]
    failure, recovery = [record.getMessage() for record in caplog.records]
    assert failure == (
        f"The collector at {address} (OTEL_EXPORTER_OTLP_ENDPOINT) answers with HTTP status 400:"
        " check that it accepts OTLP over HTTP at /v1/traces. Spans are dropped until it accepts"
        " them."
    )
    assert recovery == "the collector accepts spans again"
