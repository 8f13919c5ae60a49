from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from application.doctor.check_result import Cause, CheckResult
from application.ports.diagnosis import Diagnosis
from application.ports.host.machine import EngineUnavailable, Machine

_MEBIBYTES_PER_GIBIBYTE = 1024


@dataclass
class EngineCheck:
    """Whether Docker answers at DOCKER_SOCKET."""

    engine: Machine
    socket: Path
    optional: bool
    # Another socket at which an engine answers.
    other_socket: Callable[[], Path | None]

    # As the engine reports it; empty before the check, and if the engine does not answer.
    hostname: str = field(init=False, default="")

    def __call__(self) -> CheckResult:
        try:
            report = self.engine.report()
        except EngineUnavailable as error:
            return self._failure(error.diagnosis)
        self.hostname = report.hostname
        machine = report.capabilities
        return CheckResult.ok(
            f"Docker {machine.docker_version} at {self.socket}, {machine.cpu_cores} cores,"
            f" {machine.total_memory_mb / _MEBIBYTES_PER_GIBIBYTE:.1f} GiB"
        )

    def _failure(self, diagnosis: Diagnosis) -> CheckResult:
        other = self.other_socket()
        fix = f"set DOCKER_SOCKET={other}, where Docker answers" if other else diagnosis.fix
        if self.optional:
            return CheckResult.warning(f"{diagnosis.problem}, which DOCKER_OPTIONAL permits", fix)
        return CheckResult.failure(diagnosis.problem, fix, Cause.ENVIRONMENT)
