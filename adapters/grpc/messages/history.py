"""Converts the history of a server to messages of the wire contract, and back."""

from adapters.grpc.messages.times import from_unix_seconds, to_unix_seconds
from domain.events import EventKind
from domain.history import HistoryEntry
from protos.manman.v1 import manman_pb2 as pb


def entry_to_message(entry: HistoryEntry) -> pb.HistoryEntry:
    return pb.HistoryEntry(
        at=to_unix_seconds(entry.at),
        kind=entry.kind,
        cause=entry.cause,
        agreeing=entry.agreeing,
        differing=entry.differing,
    )


def entry_from_message(message: pb.HistoryEntry) -> HistoryEntry:
    return HistoryEntry(
        at=from_unix_seconds(message.at),
        kind=EventKind(message.kind),
        cause=message.cause,
        agreeing=tuple(message.agreeing),
        differing=tuple(message.differing),
    )
