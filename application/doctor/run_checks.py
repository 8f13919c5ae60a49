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
    """A check was given up."""


@dataclass(frozen=True, slots=True)
class Check:
    """One small look at one thing.

    `needs` are the checks, and the settings, without which it makes no sense; `dependents_reason`
    completes the sentence "not looked at, because …" of those that need it.
    """

    name: str
    run: Callable[[], CheckResult]
    needs: Sequence[str] = ()
    dependents_reason: str = ""


@dataclass(frozen=True)
class RunChecks:
    """Each check in its turn, whatever became of those before it.

    `bounded` calls a look and raises CheckTimedOut when it does not come back.
    """

    bounded: Callable[[Callable[[], CheckResult]], CheckResult]

    def __call__(
        self, checks: Sequence[Check], failed: Mapping[str, str]
    ) -> Iterator[tuple[str, CheckResult]]:
        """The name and the finding of each; `failed` says of settings why they are no good."""
        reasons = dict(failed)
        for check in checks:
            reason = next((reasons[needed] for needed in check.needs if needed in reasons), "")
            if reason:
                finding = CheckResult(Outcome.SKIP, f"not looked at, because {reason}")
            else:
                finding = self._run(check)
            if finding.outcome in (Outcome.FAIL, Outcome.SKIP):
                reasons[check.name] = reason or check.dependents_reason
            yield check.name, finding

    def _run(self, check: Check) -> CheckResult:
        try:
            return self.bounded(check.run)
        except tuple(_CAUSES) as error:
            return CheckResult.of(error.diagnosis, _CAUSES[type(error)])
        except CheckTimedOut:
            return CheckResult.failure(
                "gave no answer in time",
                "what it looks at hangs, or this machine is too busy",
                Cause.ENVIRONMENT,
            )
        except Exception as error:  # noqa: BLE001 - the other checks are still wanted
            # Without its words, which may hold a secret.
            return CheckResult.failure(
                f"the check itself failed with {type(error).__name__}",
                "this is a mistake in manmanv2, please report it",
                Cause.BUG,
            )
