"""What happened to a server as messages of the wire contract, and back."""

from datetime import UTC, datetime

from adapters.grpc.messages.hosts import unix_seconds
from domain.events import EventKind
from domain.history import HistoryEntry
from protos.manman.v1 import manman_pb2 as pb


def entry_to_message(entry: HistoryEntry) -> pb.HistoryEntry:
    return pb.HistoryEntry(
        at=unix_seconds(entry.at),
        kind=entry.kind,
        cause=entry.cause,
        agreeing=entry.agreeing,
        differing=entry.differing,
    )


def entry_from_message(message: pb.HistoryEntry) -> HistoryEntry:
    return HistoryEntry(
        at=datetime.fromtimestamp(message.at, UTC),
        kind=EventKind(message.kind),
        cause=message.cause,
        agreeing=tuple(message.agreeing),
        differing=tuple(message.differing),
    )
