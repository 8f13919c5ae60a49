"""Converts operators' keys to messages of the wire contract, and back."""

from adapters.grpc.messages.times import (
    from_unix_seconds,
    optional_from_unix_seconds,
    to_unix_seconds,
)
from domain.operator_key import OperatorKey
from domain.role import Role
from protos.manman.v1 import manman_pb2 as pb


def operator_key_to_message(key: OperatorKey) -> pb.OperatorKey:
    return pb.OperatorKey(
        key_id=key.key_id,
        name=key.name,
        role=key.role,
        expires_at=to_unix_seconds(key.expires_at),
        created_at=to_unix_seconds(key.created_at),
        created_by=key.created_by,
        revoked_at=to_unix_seconds(key.revoked_at),
    )


def operator_key_from_message(message: pb.OperatorKey) -> OperatorKey:
    """What operators see of a key: everything but its digest."""
    return OperatorKey(
        key_id=message.key_id,
        digest="",
        name=message.name,
        role=Role(message.role),
        created_at=from_unix_seconds(message.created_at),
        created_by=message.created_by,
        expires_at=optional_from_unix_seconds(message.expires_at),
        revoked_at=optional_from_unix_seconds(message.revoked_at),
    )
