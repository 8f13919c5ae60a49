from typing import Protocol

from domain.host_state import HostState


class Notifier(Protocol):
    """Reports to the service manager that started this process, if there is one. Never raises."""

    @property
    def watchdog_interval(self) -> float:
        """Seconds until `ping_watchdog` is due again; infinity if there is no watchdog."""
        ...

    def state_changed(self, state: HostState) -> None: ...

    def ready(self) -> None:
        """Report that the start is complete."""
        ...

    def ping_watchdog(self) -> None: ...
