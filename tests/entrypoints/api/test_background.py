import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from application.ports.broker import BrokerUnavailable
from application.ports.store.store import StoreFailed, StoreUnavailable
from entrypoints.api import background
from entrypoints.api.background import (
    run_clean_up,
    run_propagation,
    run_relay,
    run_sweep,
    watch_certificate,
    watch_keys,
    watch_provider_keys,
)

Loop = Coroutine[Any, Any, None]


class Steps:
    """A step with given results, in order, that ends the loop after them."""

    def __init__(self, *results: object) -> None:
        self._results = list(results)
        self.pauses: list[float] = []
        self.pauses_before: list[int] = []

    def __call__(self) -> Any:
        self.pauses_before.append(len(self.pauses))
        if not self._results:
            raise asyncio.CancelledError
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def run(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)

        monkeypatch.setattr(asyncio, "sleep", pause)
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(loop)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == background.__name__]


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, background.__name__)


def store_away() -> StoreUnavailable:
    error = StoreUnavailable()
    error.__cause__ = OSError("no route\nto the host")
    return error


def clean_up_hourly(step: Callable[[], Any]) -> Loop:
    return run_clean_up(step, timedelta(hours=1))


def sweep_every_15_seconds(step: Callable[[], Any]) -> Loop:
    return run_sweep(step, timedelta(seconds=15))


class Certificate:
    def __init__(self, step: Callable[[], Any]) -> None:
        self.reload = step

    def summary(self) -> str:
        return "for api.example.com"


class ProviderKeys:
    def __init__(self, step: Callable[[], Any]) -> None:
        self.refresh_if_stale = step


def watch_a_certificate(step: Callable[[], Any]) -> Loop:
    return watch_certificate(Certificate(step))  # type: ignore[arg-type]


def watch_keys_of_a_provider(step: Callable[[], Any]) -> Loop:
    return watch_provider_keys(ProviderKeys(step))  # type: ignore[arg-type]


def test_a_start_logs_which_certificate_is_in_use(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    steps = Steps(None)
    steps.run(watch_a_certificate(steps), monkeypatch)

    assert lines(caplog) == ["Serving TLS with the certificate for api.example.com"]


@pytest.mark.parametrize(
    ("start", "failure"),
    [
        (watch_keys_of_a_provider, "The keys of the OIDC provider could not be refreshed"),
        (run_propagation, "A change of a selector document could not be propagated to its servers"),
        (clean_up_hourly, "Expired records could not be deleted"),
        (run_relay, "Events could not be published"),
        (watch_keys, "REGISTRATION_KEY_FILE could not be read"),
    ],
)
def test_a_loop_survives_every_failure_and_leaves_store_failures_to_the_sweep(
    start: Callable[[Any], Loop],
    failure: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    steps = Steps(StoreUnavailable(), StoreFailed(), ZeroDivisionError(), False)
    steps.run(start(steps), monkeypatch)

    assert lines(caplog) == [failure]
    assert len(steps.pauses_before) == 5


@pytest.mark.parametrize("start", [run_propagation, clean_up_hourly, run_relay])
def test_a_loop_continues_at_once_while_there_is_more_to_do(
    start: Callable[[Any], Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(True, True, False, False)
    steps.run(start(steps), monkeypatch)
    first = steps.pauses_before[0]

    assert steps.pauses_before == [first, first, first, first + 1, first + 2]


def test_a_clean_up_runs_about_once_a_minute_and_not_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = Steps(*[False] * 20)
    steps.run(clean_up_hourly(steps), monkeypatch)

    assert steps.pauses_before[0] == 1
    assert all(30 <= seconds <= 90 for seconds in steps.pauses)
    assert len(set(steps.pauses)) > 1


def test_an_ephemeral_server_is_kept_for_at_most_twice_its_retention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = Steps(*[False] * 20)
    steps.run(run_clean_up(steps, timedelta(seconds=2)), monkeypatch)

    assert all(1 <= seconds <= 3 for seconds in steps.pauses)


def test_a_sweep_runs_five_times_per_interval_and_logs_the_servers_that_are_offline(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    steps = Steps([], [7, 8], [])
    steps.run(sweep_every_15_seconds(steps), monkeypatch)

    assert steps.pauses == [3, 3, 3]
    assert lines(caplog) == [
        "Server 7 is offline: its heartbeats stopped",
        "Server 8 is offline: its heartbeats stopped",
    ]


def test_the_log_reports_an_unavailable_store_once_and_its_return_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    steps = Steps([], store_away(), store_away(), ZeroDivisionError(), store_away(), [7], [])
    steps.run(sweep_every_15_seconds(steps), monkeypatch)

    assert lines(caplog) == [
        f"No server is declared offline for now: {StoreUnavailable()} (no route)",
        "The search for silent servers failed",
        "The store is back",
        "Server 7 is offline: its heartbeats stopped",
    ]
    assert caplog.records[1].exc_info


def test_the_log_reports_an_unavailable_broker_once_and_retries_slow_down(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = [BrokerUnavailable("The broker does not answer") for _ in range(8)]
    steps = Steps(False, *away, True, False, False)
    steps.run(run_relay(steps), monkeypatch)  # type: ignore[arg-type]

    assert lines(caplog) == [
        "The broker does not answer. Events wait in the store until the broker takes them.",
        "The broker takes events again",
    ]
    assert steps.pauses[0] == steps.pauses[-1] == 0.5
    assert max(steps.pauses) > 5
