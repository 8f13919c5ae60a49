import logging
from dataclasses import dataclass, field

from application.host.transient_failure_log import TransientFailureLog
from application.ports.host.machine import EngineUnavailable, Machine, MachineReport

_log = logging.getLogger(__name__)


@dataclass
class FallbackMachine:
    """A machine that may do without its container engine, as DOCKER_OPTIONAL allows."""

    with_engine: Machine
    without_engine: Machine
    _trouble: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(
            _log, "Docker answers: its figures are used again."
        ),
    )

    def report(self) -> MachineReport:
        try:
            report = self.with_engine.report()
        except EngineUnavailable as error:
            self._trouble.failed(f"{error} The machine's own figures are used instead.")
            return self.without_engine.report()
        self._trouble.ends()
        return report
