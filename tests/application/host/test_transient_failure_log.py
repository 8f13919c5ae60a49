import logging

import pytest

from application.host.transient_failure_log import TransientFailureLog

LOGGER = logging.getLogger("test")


@pytest.fixture
def failures(caplog: pytest.LogCaptureFixture) -> TransientFailureLog:
    caplog.set_level(logging.INFO)
    return TransientFailureLog(LOGGER, "It works again.")


def test_a_failure_and_its_end_are_logged_once(
    failures: TransientFailureLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        failures.failed("It is away.")
    for _ in range(3):
        failures.recovered()

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "It is away."),
        ("INFO", "It works again."),
    ]


def test_another_failure_is_logged_too_and_so_is_the_same_after_a_recovery(
    failures: TransientFailureLog, caplog: pytest.LogCaptureFixture
) -> None:
    failures.failed("It is away.")
    failures.failed("It is full.")
    failures.failed("It is away.")
    failures.recovered()
    failures.failed("It is away.")

    assert caplog.messages == ["It is away.", "It is full.", "It works again.", "It is away."]


def test_without_a_failure_no_recovery_is_logged(
    failures: TransientFailureLog, caplog: pytest.LogCaptureFixture
) -> None:
    failures.recovered()

    assert caplog.messages == []


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("heard 4 s ago", "heard 17 s ago", True),
        ("since 2026-02-28 23:59 UTC", "since 2026-03-01 00:04 UTC", True),
        # Parts of an address, a version or a time of day distinguish two failures.
        ("at 10.0.0.7", "at 10.0.0.8", False),
        ("at api:50051", "at api:50052", False),
        ("version 1.2", "version 1.3", False),
    ],
)
def test_sentences_that_differ_only_in_numbers_and_times_count_as_the_same(
    first: str,
    second: str,
    same: bool,
    failures: TransientFailureLog,
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures.failed(first)
    failures.failed(second)

    assert caplog.messages == ([first] if same else [first, second])
