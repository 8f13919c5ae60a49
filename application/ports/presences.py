from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.liveness import Presence, Status


@dataclass(frozen=True, slots=True)
class Known:
    """What a heartbeat needs to know of its server."""

    status: Status
    config_revision: int


class Presences(Protocol):
    """The narrow, hot part of the servers: who lives."""

    def lock(self, server_ids: Collection[int]) -> Mapping[int, Known]:
        """Lock those servers, in the order of their ids, until the transaction ends.

        Unknown ids are missing in the answer.
        """
        ...

    def set(self, server_ids: Collection[int], presence: Presence) -> Mapping[int, Known]:
        """Give all of them the same presence; locks them as `lock` does.

        Answers what was known of them before; unknown ids are missing in the answer.
        """
        ...

    def expire(self, now: datetime, deaf_to: Collection[str] = ()) -> Collection[int]:
        """Set offline who is online and was silent for too long; returns their ids.

        Not who was last heard via one of those that we are deaf to.
        """
        ...

    def count_online(self) -> int: ...
