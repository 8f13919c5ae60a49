"""What happens in a fleet that others are told of."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.liveness import Status
from domain.server import Server


class EventKind(StrEnum):
    # The host of this name joined for the first time.
    REGISTERED = "registered"
    ONLINE = "online"
    # The host said that it stops, or an operator set the server offline.
    OFFLINE = "offline"
    # Offline, because the host was silent for too long.
    STALE = "stale"
    # A document was put or taken away.
    CONFIGURED = "configured"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Event:
    kind: EventKind
    server_id: int
    at: datetime


def events_of_registration(before: Server, now: datetime) -> list[Event]:
    """What it tells that this server, as it was, registers now."""
    kinds = []
    if before.presence.last_seen is None:
        kinds.append(EventKind.REGISTERED)
    if before.presence.status is Status.OFFLINE:
        kinds.append(EventKind.ONLINE)
    return [Event(kind, before.server_id, now) for kind in kinds]


def events_of_change(server_id: int, before: Status, after: Status, now: datetime) -> list[Event]:
    """What it tells that a server's status is set; nothing when it was that already."""
    if before is after:
        return []
    kind = EventKind.ONLINE if after is Status.ONLINE else EventKind.OFFLINE
    return [Event(kind, server_id, now)]
