from collections.abc import Collection
from typing import Protocol

from domain.host_command import HostCommand


class Commands(Protocol):
    """The commands of operators to this host. Neither method raises or waits for a broker."""

    def listen(self, server_id: int) -> None:
        """Start to receive the commands for this server."""
        ...

    def take(self) -> Collection[HostCommand]:
        """Returns the commands that arrived since the last call, each once."""
        ...
