"""Converts entries of the audit log to messages of the wire contract, and back."""

from adapters.grpc.messages.times import from_unix_seconds, to_unix_seconds
from application.ports.store.access.audit import AuditEntry
from protos.manman.v1 import manman_pb2 as pb


def audit_entry_to_message(entry: AuditEntry) -> pb.AuditEntry:
    return pb.AuditEntry(
        entry_id=entry.entry_id,
        at=to_unix_seconds(entry.at),
        actor=entry.actor,
        credential_id=entry.credential_id,
        address=entry.address,
        action=entry.action,
        server_id=entry.server_id,
        target=entry.target,
        outcome=entry.outcome,
    )


def audit_entry_from_message(message: pb.AuditEntry) -> AuditEntry:
    return AuditEntry(
        at=from_unix_seconds(message.at),
        actor=message.actor,
        credential_id=message.credential_id,
        address=message.address,
        action=message.action,
        server_id=message.server_id,
        target=message.target,
        outcome=message.outcome,
        entry_id=message.entry_id,
    )
