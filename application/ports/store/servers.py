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
    """Which servers to list; None means any. A server that was never seen counts as not seen."""

    environment: str | None = None
    status: Status | None = None
    not_seen_since: datetime | None = None
    approval: Approval | None = None
    selector: Selector | None = None


class Servers(Protocol):
    """The servers of the fleet. The store alone ensures that each name exists only once."""

    def find(self, name: str) -> Server | None:
        """The server of this name, locked until the transaction ends."""
        ...

    def find_or_add(self, name: str) -> Server:
        """The server of this name, created if there is none, locked until the transaction ends.

        Any number of concurrent callers, in any number of processes, get the same id.
        """
        ...

    def add(self, name: str, environment: str) -> Server:
        """A new server that was never seen. Raises ServerNameTaken."""
        ...

    def get(self, server_id: int, *, lock: bool = False) -> Server:
        """Raises ServerNotFound."""
        ...

    def lock_with_default(self, server_id: int) -> Server:
        """The server, locked together with the present default server.

        They are locked in the order of their ids, by one caller at a time, so that a change of the
        default never deadlocks with a batch of heartbeats. Raises ServerNotFound.
        """
        ...

    def save(self, server: Server) -> None:
        """Write the server, except its capabilities, labels, machine and address.

        If it is the default, the previous default loses that mark, see lock_with_default. Raises
        ServerNameTaken.
        """
        ...

    def page(self, matching: ServerFilter, after: int, size: int) -> Sequence[Server]:
        """Up to `size` servers with an id above `after`, by id."""
        ...

    def lock_selected(self, selector: Selector, after: int, size: int) -> Sequence[int]:
        """The ids of up to `size` selected servers with an id above `after`.

        They are locked in the order of their ids, which never deadlocks with a batch of heartbeats.
        """
        ...

    def highest_revision(self) -> int:
        """The highest config_revision of any server, 0 if there are no servers."""
        ...

    def configure(self, server_ids: Collection[int], revision: int, *, resync: bool) -> None:
        """Set this config_revision on all of these locked servers, and with `resync` also this
        config_resync, see domain.server.

        A server that already has this revision or a higher one gets its own next revision and a
        resync, because its host may have that revision without the new documents.
        """
        ...

    def count_by_status(self) -> Mapping[tuple[Status, str], int]:
        """How many servers there are per status and environment, without zeros."""
        ...

    def count(self, approval: Approval) -> int: ...

    def online_hardware(self) -> Hardware:
        """The hardware of the machines of online servers. If the servers of one machine report
        different values, the highest counts."""
        ...

    def of_machine(self, machine: int) -> Sequence[Server]:
        """The servers of a machine, by server_id. None for 0, which is no machine."""
        ...

    def prunable(self, not_seen_since: datetime, size: int) -> Sequence[Server]:
        """Up to `size` ephemeral servers that are offline, by id, locked.

        Only servers that were not seen since then and have no event since then: a server that was
        set offline only recently, because no API could hear it before, has not been offline for
        long. Rejected servers are left out, because their names would become free; so are servers
        that other transactions have locked.
        """
        ...

    def remove(self, server_id: int) -> None:
        """Delete the server and everything attached to it. Raises ServerNotFound."""
        ...
