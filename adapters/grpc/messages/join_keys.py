"""The keys by which hosts join as messages of the wire contract, and back."""

from datetime import UTC, datetime

from adapters.grpc.messages.hosts import unix_seconds
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
        expires_at=unix_seconds(key.expires_at) if key.expires_at else 0,
        ephemeral=key.ephemeral,
        pre_approved=key.pre_approved,
        created_at=unix_seconds(key.created_at),
        created_by=key.created_by,
        revoked_at=unix_seconds(key.revoked_at) if key.revoked_at else 0,
    )


def join_key_from_message(message: pb.JoinKey) -> UsedJoinKey:
    """What an operator may know of it: not the digest."""
    key = JoinKey(
        key_id=message.key_id,
        digest="",
        created_at=_moment(message.created_at),
        created_by=message.created_by,
        environment=message.environment,
        name_pattern=message.name_pattern,
        labels=dict(message.labels),
        uses=message.uses or None,
        expires_at=_moment(message.expires_at) if message.expires_at else None,
        ephemeral=message.ephemeral,
        pre_approved=message.pre_approved,
        revoked_at=_moment(message.revoked_at) if message.revoked_at else None,
    )
    return UsedJoinKey(key, message.used)


def use_to_message(use: JoinKeyUse) -> pb.JoinKeyUse:
    return pb.JoinKeyUse(
        server_id=use.server_id,
        name=use.name,
        address=use.address,
        first_at=unix_seconds(use.first_at),
        last_at=unix_seconds(use.last_at),
        times=use.times,
    )


def use_from_message(message: pb.JoinKeyUse, key_id: str) -> JoinKeyUse:
    return JoinKeyUse(
        key_id=key_id,
        server_id=message.server_id,
        name=message.name,
        address=message.address,
        first_at=_moment(message.first_at),
        last_at=_moment(message.last_at),
        times=message.times,
    )


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
