"""What happens in a fleet that others are told of."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.liveness import Status
from domain.server import Server


class EventKind(StrEnum):
    # An operator made its record, before any host has joined.
    CREATED = "created"
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
    RESTORED = "restored"
    # Another machine has the server from now on.
    TAKEN_OVER = "taken_over"
    # Another process has it, on the same machine.
    REPLACED = "replaced"
    # The machine of this new server had another one, which is offline.
    RECOGNISED = "recognised"
    # An ephemeral server was found again by its machine, under another name.
    READOPTED = "readopted"
    RENAMED = "renamed"
    MERGED = "merged"
    LABELLED = "labelled"
    # It waits for an operator.
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    BANNED = "banned"
    # Another machine claims its name.
    CONTESTED = "contested"
    CONFLICT_RESOLVED = "conflict_resolved"


@dataclass(frozen=True, slots=True)
class Event:
    """`cause` is a sentence; `agreeing` and `differing` name evidence, as a Comparison does."""

    kind: EventKind
    server_id: int
    at: datetime
    cause: str = ""
    agreeing: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()


def registration_events(
    before: Server, now: datetime, address: str = "", join_key_id: str = ""
) -> list[Event]:
    """What it tells that this server, as it was, registers now, from an address."""
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
    """What it tells that a server's status is set; nothing when it was that already."""
    if before is after:
        return []
    kind = EventKind.ONLINE if after is Status.ONLINE else EventKind.OFFLINE
    return [Event(kind, server_id, now, cause)]
