"""The keys of operators as messages of the wire contract, and back."""

from datetime import UTC, datetime

from adapters.grpc.messages.hosts import unix_seconds
from domain.operator_key import OperatorKey
from domain.role import Role
from protos.manman.v1 import manman_pb2 as pb


def operator_key_to_message(key: OperatorKey) -> pb.OperatorKey:
    return pb.OperatorKey(
        key_id=key.key_id,
        name=key.name,
        role=key.role,
        expires_at=unix_seconds(key.expires_at) if key.expires_at else 0,
        created_at=unix_seconds(key.created_at),
        created_by=key.created_by,
        revoked_at=unix_seconds(key.revoked_at) if key.revoked_at else 0,
    )


def operator_key_from_message(message: pb.OperatorKey) -> OperatorKey:
    """What an operator may know of it: not the digest."""
    return OperatorKey(
        key_id=message.key_id,
        digest="",
        name=message.name,
        role=Role(message.role),
        created_at=_moment(message.created_at),
        created_by=message.created_by,
        expires_at=_moment(message.expires_at) if message.expires_at else None,
        revoked_at=_moment(message.revoked_at) if message.revoked_at else None,
    )


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
