from collections.abc import Callable

import pytest

from application.doctor.check_result import Cause, CheckResult, Outcome
from application.doctor.run_checks import Check, CheckTimedOut, RunChecks
from application.ports.broker import BrokerUnavailable
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
from application.ports.host.machine import EngineUnavailable
from application.ports.probes.database_probe import DatabaseUnavailable, DatabaseUnfit

WELL = CheckResult.ok("well")


def raises(error: Exception) -> Callable[[], CheckResult]:
    def look() -> CheckResult:
        raise error

    return look


def run(*checks: Check, wrong: str = "") -> dict[str, CheckResult]:
    failed = {wrong: f"{wrong} is wrong"} if wrong else {}
    return dict(RunChecks(lambda look: look())(checks, failed))


def test_checks_go_on_after_one_that_failed() -> None:
    found = run(
        Check("a", raises(EngineUnavailable("X is away", "start it"))), Check("b", lambda: WELL)
    )

    assert [(name, str(finding)) for name, finding in found.items()] == [
        ("a", "X is away: start it"),
        ("b", "well"),
    ]


def test_what_makes_no_sense_after_a_failure_says_so_and_so_does_what_needs_it() -> None:
    found = run(
        Check("API", raises(ControlPlaneUnavailable("away")), (), "the API is away"),
        Check("Key", lambda: WELL, ("API",)),
        Check("Door", lambda: WELL, ("Key",)),
        Check("Name", lambda: WELL),
    )

    assert [finding.outcome for finding in found.values()] == ["FAIL", "skip", "skip", "ok"]
    assert str(found["Door"]) == "not looked at, because the API is away"


def test_what_needs_a_setting_that_is_wrong_is_not_looked_at() -> None:
    found = run(Check("API", lambda: WELL, ("API_ADDRESS",)), wrong="API_ADDRESS")

    assert str(found["API"]) == "not looked at, because API_ADDRESS is wrong"


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (EngineUnavailable("No"), Cause.ENVIRONMENT),
        (BrokerUnavailable("No"), Cause.ENVIRONMENT),
        (ControlPlaneUnavailable("No"), Cause.ENVIRONMENT),
        (DatabaseUnavailable("No"), Cause.ENVIRONMENT),
        (ControlPlaneRefused("No"), Cause.SETTING),
        (DatabaseUnfit("No"), Cause.SETTING),
        (CheckTimedOut(), Cause.ENVIRONMENT),
        (ZeroDivisionError(), Cause.BUG),
    ],
)
def test_a_failure_says_where_its_cause_is(error: Exception, fault: Cause) -> None:
    finding = run(Check("x", raises(error)))["x"]

    assert (finding.outcome, finding.cause) == (Outcome.FAIL, fault)


def test_a_check_that_breaks_is_our_mistake_and_shows_none_of_its_words() -> None:
    finding = run(Check("x", raises(ValueError("a secret"))))["x"]

    assert str(finding) == (
        "the check itself failed with ValueError: this is a mistake in manmanv2, please report it"
    )


def test_a_failure_has_the_problem_and_the_fix_of_the_error() -> None:
    error = DatabaseUnavailable("It is away: nothing listens", "start it", separator="; ")

    result = run(Check("x", raises(error)))["x"]

    assert (result.summary, result.fix) == ("It is away: nothing listens", "start it")
    assert str(result) == "It is away: nothing listens; start it"


def test_a_failure_of_an_error_without_a_fix_has_no_fix() -> None:
    result = run(Check("x", raises(BrokerUnavailable("The broker at h:1 says: no"))))["x"]

    assert (result.summary, result.fix) == ("The broker at h:1 says: no", "")
