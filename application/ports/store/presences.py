from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.approval import Approval
from domain.liveness import Presence, Status


# Not frozen: every heartbeat creates one, and a frozen one takes four times as long to create.
@dataclass(slots=True)
class Known:
    """The state of a server that a heartbeat needs."""

    status: Status
    config_revision: int
    epoch: int = 0
    approval: Approval = Approval.APPROVED

    def accepts(self, epoch: int, *, include_refused: bool = False) -> bool:
        """Whether a heartbeat of this epoch counts for the server. 0 means no epoch was sent. With
        `include_refused` it counts for a rejected or banned server too."""
        return (include_refused or self.approval.admits) and (epoch == 0 or epoch >= self.epoch)


class Presences(Protocol):
    """The narrow, hot part of the servers: their presence."""

    def lock(self, server_ids: Collection[int]) -> Mapping[int, Known]:
        """Lock these servers, in the order of their ids, until the transaction ends.

        The result omits unknown ids.
        """
        ...

    def known(self, server_ids: Collection[int]) -> Mapping[int, Known]:
        """The same as `lock`, without locking."""
        ...

    def set(
        self, epochs: Mapping[int, int], presence: Presence, *, include_refused: bool = False
    ) -> Mapping[int, Known]:
        """Set the same presence on all of these servers; locks them as `lock` does.

        A server is set only if its epoch here is not older than its current one, or 0, and it is
        admitted. With `include_refused` it need not be admitted. Returns the states before; the
        result omits servers that were not set.
        """
        ...

    def expire(self, now: datetime, unheard_transports: Collection[str] = ()) -> Collection[int]:
        """Set servers offline that were silent for too long. Returns their ids.

        Leaves out servers whose last heartbeat came over one of the `unheard_transports`, over
        which this API receives nothing now.
        """
        ...

    def count_online(self) -> int: ...
