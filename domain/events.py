"""What happens in a fleet and is published."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.liveness import Status
from domain.server import Server


class EventKind(StrEnum):
    # An operator created the server before any host has joined.
    CREATED = "created"
    # The host of this name joined for the first time.
    REGISTERED = "registered"
    ONLINE = "online"
    # The host reported that it stops, or an operator set the server offline.
    OFFLINE = "offline"
    # Offline because the host sent no heartbeat for too long.
    STALE = "stale"
    # A document was put or deleted.
    CONFIGURED = "configured"
    DELETED = "deleted"
    RESTORED = "restored"
    # Another machine now has the server.
    TAKEN_OVER = "taken_over"
    # Another process on the same machine now has the server.
    REPLACED = "replaced"
    # The machine of this new server has an older server, which is offline.
    RECOGNISED = "recognised"
    # The machine of an ephemeral server registered it again under another name.
    READOPTED = "readopted"
    RENAMED = "renamed"
    MERGED = "merged"
    LABELLED = "labelled"
    # The server waits for an operator's approval.
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    BANNED = "banned"
    # Another machine claims the server's name.
    CONTESTED = "contested"
    CONFLICT_RESOLVED = "conflict_resolved"


@dataclass(frozen=True, slots=True)
class Event:
    """`cause` is a sentence. `agreeing` and `differing` name the evidence, as in Comparison."""

    kind: EventKind
    server_id: int
    at: datetime
    cause: str = ""
    agreeing: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()


def registration_events(
    before: Server, now: datetime, address: str = "", join_key_id: str = ""
) -> list[Event]:
    """The events of a registration; `before` is the server as it was before it."""
    kinds = []
    if before.presence.last_seen is None:
        kinds.append(EventKind.REGISTERED)
    if before.presence.status is Status.OFFLINE:
        kinds.append(EventKind.ONLINE)
    cause = f"its host registered from {address}" if address else "its host registered"
    if join_key_id:
        cause += f" with the join key {join_key_id}"
    return [Event(kind, before.server_id, now, cause) for kind in kinds]


def status_events(
    server_id: int, before: Status, after: Status, now: datetime, cause: str
) -> list[Event]:
    """The event of a change of status; none if the status stays the same."""
    if before is after:
        return []
    kind = EventKind.ONLINE if after is Status.ONLINE else EventKind.OFFLINE
    return [Event(kind, server_id, now, cause)]
