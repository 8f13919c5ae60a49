from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from application.doctor.check_result import Cause, CheckResult, Outcome
from application.ports.broker import BrokerUnavailable
from application.ports.diagnosis import DiagnosedFailure
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
from application.ports.host.machine import EngineUnavailable
from application.ports.probes.database_probe import DatabaseUnavailable, DatabaseUnfit

# The errors of the ports, and where the cause then is.
_CAUSES: Mapping[type[DiagnosedFailure], Cause] = {
    BrokerUnavailable: Cause.ENVIRONMENT,
    ControlPlaneRefused: Cause.SETTING,
    ControlPlaneUnavailable: Cause.ENVIRONMENT,
    DatabaseUnavailable: Cause.ENVIRONMENT,
    DatabaseUnfit: Cause.SETTING,
    EngineUnavailable: Cause.ENVIRONMENT,
}


class CheckTimedOut(Exception):
    """A check did not finish in time."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check of one thing.

    `needs` are the names of the checks and settings that must be fine for it to make sense.
    `dependents_reason` completes "not checked, because …" for the checks that need this one.
    """

    name: str
    run: Callable[[], CheckResult]
    needs: Sequence[str] = ()
    dependents_reason: str = ""


@dataclass(frozen=True)
class RunChecks:
    """Runs the checks in order. A failed check does not stop the others.

    `bounded` calls a check and raises CheckTimedOut if it does not return in time.
    """

    bounded: Callable[[Callable[[], CheckResult]], CheckResult]

    def __call__(
        self, checks: Sequence[Check], failed: Mapping[str, str]
    ) -> Iterator[tuple[str, CheckResult]]:
        """The name and the result of each. `failed` maps each wrong setting to the reason."""
        reasons = dict(failed)
        for check in checks:
            reason = next((reasons[needed] for needed in check.needs if needed in reasons), "")
            if reason:
                result = CheckResult(Outcome.SKIP, f"not checked, because {reason}")
            else:
                result = self._run(check)
            if result.outcome in (Outcome.FAIL, Outcome.SKIP):
                reasons[check.name] = reason or check.dependents_reason
            yield check.name, result

    def _run(self, check: Check) -> CheckResult:
        try:
            return self.bounded(check.run)
        except tuple(_CAUSES) as error:
            return CheckResult.of(error.diagnosis, _CAUSES[type(error)])
        except CheckTimedOut:
            return CheckResult.failure(
                "did not finish in time",
                "what it checks hangs, or this machine is too busy",
                Cause.ENVIRONMENT,
            )
        except Exception as error:  # noqa: BLE001 - the other checks must still run
            # Without the error's text, which may contain a secret.
            return CheckResult.failure(
                f"the check itself failed with {type(error).__name__}",
                "this is a bug in manmanv2, please report it",
                Cause.BUG,
            )
