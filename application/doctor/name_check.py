from collections.abc import Callable
from dataclasses import dataclass

from application.doctor.check_result import Cause, CheckResult, Outcome
from application.ports.host.machine import Machine
from application.ports.host.state_folder import SavedState
from domain.errors import InvalidField
from domain.naming import ChosenName, choose_name

# Shown in a name in place of the characters that each start generates.
_RANDOM_PART = "????????"


@dataclass(frozen=True)
class NameCheck:
    """Under which name this host would register, and whether it would keep that name."""

    server_name: str
    environment: str
    # None for a host that registers.
    server_id: int | None
    in_container: bool
    docker_optional: bool
    has_state_dir: bool
    # The usable content of STATE_DIR.
    saved_state: Callable[[], SavedState | None]
    local_machine: Machine
    # As Docker reports it, empty if Docker does not answer.
    engine_hostname: Callable[[], str]

    def __call__(self) -> CheckResult:
        if self.server_id is not None:
            return CheckResult.ok(f"server {self.server_id}, from SERVER_ID")
        if self._is_container_hostname() and not self.server_name and not self.docker_optional:
            return CheckResult(
                Outcome.SKIP, "unknown, because a container learns the machine's name from Docker"
            )
        hostname = self.engine_hostname() or self.local_machine.report().hostname
        state = self.saved_state()
        saved = state.saved_name if state else None
        try:
            chosen = choose_name(self.server_name, hostname, self.environment, _RANDOM_PART, saved)
        except InvalidField as error:
            return CheckResult.failure(
                f"the name of this host is invalid, {error}", "set SERVER_NAME", Cause.SETTING
            )
        if saved and chosen == saved.chosen and not self.server_name:
            return CheckResult.ok(f"{chosen.name}, from the last start (STATE_DIR)")
        return self._generated(chosen) if chosen.ephemeral else self._permanent(chosen)

    def _generated(self, chosen: ChosenName) -> CheckResult:
        if self.has_state_dir:
            return CheckResult.ok(
                f"{chosen.name}, generated at the first start and stored in STATE_DIR"
            )
        return CheckResult.warning(
            f"{chosen.name}, generated at each start, so each start may get another server_id",
            "set ENVIRONMENT or SERVER_NAME",
        )

    def _permanent(self, chosen: ChosenName) -> CheckResult:
        if self.server_name:
            return CheckResult.ok(f"{chosen.name}, from SERVER_NAME")
        if self._is_container_hostname():
            return CheckResult.warning(
                f"{chosen.name}, from the container's hostname, so another container gets another"
                " server_id",
                "let this host manager reach Docker, or set SERVER_NAME",
            )
        source = "the hostname that Docker reports" if self.in_container else "hostname"
        return CheckResult.ok(f"{chosen.name}, from {source} and ENVIRONMENT")

    def _is_container_hostname(self) -> bool:
        return self.in_container and not self.engine_hostname()
