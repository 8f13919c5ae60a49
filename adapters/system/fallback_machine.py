import logging
from dataclasses import dataclass, field

from application.host.transient_failure_log import TransientFailureLog
from application.ports.host.machine import EngineUnavailable, Machine, MachineReport

_log = logging.getLogger(__name__)


@dataclass
class FallbackMachine:
    """Reports without the container engine while that does not answer (DOCKER_OPTIONAL)."""

    with_engine: Machine
    without_engine: Machine
    _failures: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(
            _log, "Docker answers: reporting its figures again."
        ),
    )

    def report(self) -> MachineReport:
        try:
            report = self.with_engine.report()
        except EngineUnavailable as error:
            self._failures.failed(f"{error} Reporting the machine's own figures instead.")
            return self.without_engine.report()
        self._failures.recovered()
        return report
