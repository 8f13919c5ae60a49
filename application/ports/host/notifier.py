from typing import Protocol

from domain.host_state import HostState


class Notifier(Protocol):
    """The service manager that started this process, where there is one. Never raises."""

    @property
    def watchdog_interval(self) -> float:
        """Seconds after which `ping_watchdog` is due again, infinity where nobody waits for it."""
        ...

    def state_changed(self, state: HostState) -> None: ...

    def ready(self) -> None:
        """The start is over."""
        ...

    def ping_watchdog(self) -> None: ...
