import logging
from dataclasses import dataclass, field

from application.host.transient_failure_log import PassingTrouble
from application.ports.host.machine import EngineUnavailable, Machine, MachineReport

_log = logging.getLogger(__name__)


@dataclass
class FallbackMachine:
    """A machine that may do without its container engine, as DOCKER_OPTIONAL allows."""

    with_engine: Machine
    without_engine: Machine
    _trouble: PassingTrouble = field(
        init=False,
        default_factory=lambda: PassingTrouble(_log, "Docker answers: its figures are used again."),
    )

    def report(self) -> MachineReport:
        try:
            report = self.with_engine.report()
        except EngineUnavailable as error:
            self._trouble.strikes(f"{error} The machine's own figures are used instead.")
            return self.without_engine.report()
        self._trouble.ends()
        return report
