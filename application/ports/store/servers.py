from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.approval import Approval
from domain.labels import Selector
from domain.liveness import Status
from domain.machine import Hardware
from domain.server import Server


@dataclass(frozen=True, slots=True)
class ServerFilter:
    """Which servers to list. None: all. A server that was never seen counts as not seen."""

    environment: str | None = None
    status: Status | None = None
    not_seen_since: datetime | None = None
    approval: Approval | None = None
    selector: Selector | None = None


class Servers(Protocol):
    """The records of the fleet. The store alone decides that a name is there once."""

    def find(self, name: str) -> Server | None:
        """The server of this name, locked until the transaction ends."""
        ...

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
        """Write what a server is itself: not its capabilities, labels, machine and address.
        Raises ServerNameTaken.

        A default server takes that mark from the one that had it, see lock_with_default.
        """
        ...

    def page(self, matching: ServerFilter, after: int, size: int) -> Sequence[Server]:
        """Up to `size` servers with an id above `after`, by id."""
        ...

    def lock_selected(self, selector: Selector, after: int, size: int) -> Sequence[int]:
        """The ids of up to `size` servers with an id above `after` that the selector selects.

        Locked in the order of their ids, so that it never deadlocks with a batch of heartbeats.
        """
        ...

    def highest_revision(self) -> int:
        """The highest config_revision that any server has, 0 where there is none."""
        ...

    def configure(self, server_ids: Collection[int], revision: int, *, resync: bool) -> None:
        """Give all of these, which are locked, this config_revision; and with `resync` this
        config_resync, see domain.server.

        One that has this revision, or a higher one, gets the next of its own, and a resync: its
        host may have that already, without what is new at this one.
        """
        ...

    def count_by_status(self) -> Mapping[tuple[Status, str], int]:
        """How many servers there are of each status and environment, where there is any."""
        ...

    def count(self, approval: Approval) -> int: ...

    def online_hardware(self) -> Hardware:
        """Of the machines of servers that are online. Where the servers of a machine say different
        things of it, the most counts."""
        ...

    def of_machine(self, machine: int) -> Sequence[Server]:
        """By server_id; none for 0, because those are not of one machine."""
        ...

    def prunable(self, not_seen_since: datetime, size: int) -> Sequence[Server]:
        """Up to `size` ephemeral servers that are offline, by id, locked.

        Only those that were not seen since, and to which nothing happened since: who is called
        offline only now, because nobody could hear it before, has not been offline for long. Not
        those that an operator rejected, since their names would be free; and not those that
        others have locked.
        """
        ...

    def remove(self, server_id: int) -> None:
        """Delete the server and everything that hangs on it. Raises ServerNotFound."""
        ...
