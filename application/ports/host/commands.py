from collections.abc import Collection
from typing import Protocol

from domain.host_command import HostCommand


class Commands(Protocol):
    """What operators ask of this host. Neither method raises, nor waits for a broker."""

    def listen(self, server_id: int) -> None:
        """From now on take what is meant for this server."""
        ...

    def take(self) -> Collection[HostCommand]:
        """What arrived since the last call, each once."""
        ...
