"""Converts join keys to messages of the wire contract, and back."""

from adapters.grpc.messages.times import (
    from_unix_seconds,
    optional_from_unix_seconds,
    to_unix_seconds,
)
from application.join_keys.list_join_keys import UsedJoinKey
from application.ports.store.access.join_keys import JoinKeyUse
from domain.join_key import JoinKey
from protos.manman.v1 import manman_pb2 as pb


def join_key_to_message(used_key: UsedJoinKey) -> pb.JoinKey:
    key = used_key.key
    return pb.JoinKey(
        key_id=key.key_id,
        environment=key.environment,
        name_pattern=key.name_pattern,
        labels=key.labels,
        uses=key.uses or 0,
        used=used_key.used,
        expires_at=to_unix_seconds(key.expires_at),
        ephemeral=key.ephemeral,
        pre_approved=key.pre_approved,
        created_at=to_unix_seconds(key.created_at),
        created_by=key.created_by,
        revoked_at=to_unix_seconds(key.revoked_at),
    )


def join_key_from_message(message: pb.JoinKey) -> UsedJoinKey:
    """What operators see of a join key: everything but its digest."""
    key = JoinKey(
        key_id=message.key_id,
        digest="",
        created_at=from_unix_seconds(message.created_at),
        created_by=message.created_by,
        environment=message.environment,
        name_pattern=message.name_pattern,
        labels=dict(message.labels),
        uses=message.uses or None,
        expires_at=optional_from_unix_seconds(message.expires_at),
        ephemeral=message.ephemeral,
        pre_approved=message.pre_approved,
        revoked_at=optional_from_unix_seconds(message.revoked_at),
    )
    return UsedJoinKey(key, message.used)


def use_to_message(use: JoinKeyUse) -> pb.JoinKeyUse:
    return pb.JoinKeyUse(
        server_id=use.server_id,
        name=use.name,
        address=use.address,
        first_at=to_unix_seconds(use.first_at),
        last_at=to_unix_seconds(use.last_at),
        times=use.times,
    )


def use_from_message(message: pb.JoinKeyUse, key_id: str) -> JoinKeyUse:
    return JoinKeyUse(
        key_id=key_id,
        server_id=message.server_id,
        name=message.name,
        address=message.address,
        first_at=from_unix_seconds(message.first_at),
        last_at=from_unix_seconds(message.last_at),
        times=message.times,
    )
