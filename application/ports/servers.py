from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.liveness import Status
from domain.server import Server


@dataclass(frozen=True, slots=True)
class ServerFilter:
    """Which servers to list. None: all. A server that was never seen counts as not seen."""

    environment: str | None = None
    status: Status | None = None
    not_seen_since: datetime | None = None


class Servers(Protocol):
    """The records of the fleet. The store alone decides that a name is there once."""

    def find_or_add(self, name: str) -> Server:
        """The server of this name, made where there is none, locked until the transaction ends.

        However many ask at the same moment, over however many processes, all get one id.
        """
        ...

    def add(self, name: str, environment: str) -> Server:
        """A new server that was never seen. Raises ServerNameTaken."""
        ...

    def get(self, server_id: int, *, lock: bool = False) -> Server:
        """Raises ServerNotFound."""
        ...

    def lock_with_default(self, server_id: int) -> Server:
        """The server, locked together with the one that is the default now.

        In the order of their ids, and one caller at a time, so that a mark on its way from one
        server to another never deadlocks with a batch of heartbeats. Raises ServerNotFound.
        """
        ...

    def save(self, server: Server) -> None:
        """Write all but the capabilities. Raises ServerNameTaken.

        A default server takes that mark from the one that had it, see lock_with_default.
        """
        ...

    def page(self, matching: ServerFilter, after: int, size: int) -> Sequence[Server]:
        """Up to `size` servers with an id above `after`, by id."""
        ...

    def census(self) -> Mapping[tuple[Status, str], int]:
        """How many servers there are of each status and environment, where there is any."""
        ...

    def remove(self, server_id: int) -> None:
        """Delete the server and everything that hangs on it. Raises ServerNotFound."""
        ...
