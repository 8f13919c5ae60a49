from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.approval import Approval
from domain.liveness import Presence, Status


# Not frozen: there is one in each heartbeat, and that takes four times as long to make.
@dataclass(slots=True)
class Known:
    """What a heartbeat needs to know of its server."""

    status: Status
    config_revision: int
    epoch: int = 0
    approval: Approval = Approval.APPROVED

    def accepts(self, epoch: int, *, include_refused: bool = False) -> bool:
        """Whether who registered in that epoch, 0 if it does not say, speaks for this server."""
        return (include_refused or self.approval.admits) and (epoch == 0 or epoch >= self.epoch)


class Presences(Protocol):
    """The narrow, hot part of the servers: who lives."""

    def lock(self, server_ids: Collection[int]) -> Mapping[int, Known]:
        """Lock those servers, in the order of their ids, until the transaction ends.

        Unknown ids are missing in the answer.
        """
        ...

    def known(self, server_ids: Collection[int]) -> Mapping[int, Known]:
        """What `lock` answers, without a lock."""
        ...

    def set(
        self, epochs: Mapping[int, int], presence: Presence, *, include_refused: bool = False
    ) -> Mapping[int, Known]:
        """Give all of these servers the same presence; locks them as `lock` does.

        Only where the epoch is not older than the server's, or 0, and the server is admitted,
        unless it is set to all.
        Answers what was known of them before; whoever was not set is missing in the answer.
        """
        ...

    def expire(self, now: datetime, unheard_transports: Collection[str] = ()) -> Collection[int]:
        """Set offline who is online and was silent for too long; returns their ids.

        Not who was last heard via one of those that we are deaf to.
        """
        ...

    def count_online(self) -> int: ...
