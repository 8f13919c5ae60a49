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
    def check() -> CheckResult:
        raise error

    return check


def run(*checks: Check, wrong: str = "") -> dict[str, CheckResult]:
    failed = {wrong: f"{wrong} is wrong"} if wrong else {}
    return dict(RunChecks(lambda check: check())(checks, failed))


def test_the_checks_after_a_failed_one_still_run() -> None:
    results = run(
        Check("a", raises(EngineUnavailable("X is away", "start it"))), Check("b", lambda: WELL)
    )

    assert [(name, str(result)) for name, result in results.items()] == [
        ("a", "X is away: start it"),
        ("b", "well"),
    ]


def test_a_check_that_needs_a_failed_one_is_skipped_and_so_are_those_that_need_it() -> None:
    results = run(
        Check("API", raises(ControlPlaneUnavailable("away")), (), "the API is away"),
        Check("Key", lambda: WELL, ("API",)),
        Check("Door", lambda: WELL, ("Key",)),
        Check("Name", lambda: WELL),
    )

    assert [result.outcome for result in results.values()] == ["FAIL", "skip", "skip", "ok"]
    assert str(results["Door"]) == "not checked, because the API is away"


def test_a_check_that_needs_a_wrong_setting_is_skipped() -> None:
    results = run(Check("API", lambda: WELL, ("API_ADDRESS",)), wrong="API_ADDRESS")

    assert str(results["API"]) == "not checked, because API_ADDRESS is wrong"


@pytest.mark.parametrize(
    ("error", "cause"),
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
def test_the_cause_follows_from_the_error(error: Exception, cause: Cause) -> None:
    result = run(Check("x", raises(error)))["x"]

    assert (result.outcome, result.cause) == (Outcome.FAIL, cause)


def test_a_check_that_crashes_is_a_bug_and_its_error_text_is_not_printed() -> None:
    result = run(Check("x", raises(ValueError("a secret"))))["x"]

    assert str(result) == (
        "the check itself failed with ValueError: this is a bug in manmanv2, please report it"
    )


def test_a_failure_has_the_problem_and_the_fix_of_the_error() -> None:
    error = DatabaseUnavailable("It is away: nothing listens", "start it", separator="; ")

    result = run(Check("x", raises(error)))["x"]

    assert (result.summary, result.fix) == ("It is away: nothing listens", "start it")
    assert str(result) == "It is away: nothing listens; start it"


def test_a_failure_of_an_error_without_a_fix_has_no_fix() -> None:
    result = run(Check("x", raises(BrokerUnavailable("The broker at h:1 says: no"))))["x"]

    assert (result.summary, result.fix) == ("The broker at h:1 says: no", "")
