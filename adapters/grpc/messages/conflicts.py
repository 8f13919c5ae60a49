"""Converts conflicts and dry-run refusals to messages of the wire contract, and back."""

from datetime import datetime

from adapters.grpc.messages.hosts import evidence_from_message, evidence_to_message
from adapters.grpc.messages.times import (
    from_unix_seconds,
    optional_from_unix_seconds,
    to_unix_seconds,
)
from application.ports.store.dry_run_refusals import DryRunRefusal
from domain.conflict import Conflict, ConflictState, Resolution
from domain.enforcement import Switch
from domain.machine_evidence import Identity, compare
from protos.manman.v1 import manman_pb2 as pb


def conflict_to_message(conflict: Conflict) -> pb.Conflict:
    comparison = compare(conflict.holder.evidence, conflict.challenger.evidence)
    return pb.Conflict(
        conflict_id=conflict.conflict_id,
        name=conflict.name,
        server_id=conflict.server_id,
        state=conflict.state,
        resolution=conflict.resolution or "",
        new_name=conflict.new_name,
        opened_at=to_unix_seconds(conflict.opened_at),
        last_claimed_at=to_unix_seconds(conflict.last_claimed_at),
        claims=conflict.claims,
        holder=_claimant(conflict.holder, conflict.holder_last_seen),
        challenger=_claimant(conflict.challenger, conflict.last_claimed_at),
        agreeing=comparison.agreeing,
        differing=comparison.differing,
    )


def conflict_from_message(message: pb.Conflict) -> Conflict:
    """What operators see of a conflict."""
    return Conflict(
        conflict_id=message.conflict_id,
        server_id=message.server_id,
        name=message.name,
        state=ConflictState(message.state),
        holder=_identity(message.holder),
        holder_last_seen=optional_from_unix_seconds(message.holder.last_seen),
        challenger=_identity(message.challenger),
        opened_at=from_unix_seconds(message.opened_at),
        last_claimed_at=from_unix_seconds(message.last_claimed_at),
        claims=message.claims,
        resolution=Resolution(message.resolution) if message.resolution else None,
        new_name=message.new_name,
    )


def dry_run_refusal_to_message(entry: DryRunRefusal) -> pb.WouldReject:
    return pb.WouldReject(
        switch=entry.switch,
        server_id=entry.server_id,
        name=entry.name,
        reason=entry.reason,
        count=entry.count,
        first_at=to_unix_seconds(entry.first_at),
        last_at=to_unix_seconds(entry.last_at),
    )


def dry_run_refusal_from_message(message: pb.WouldReject) -> DryRunRefusal:
    """Without its entry_id, which operators do not need."""
    return DryRunRefusal(
        entry_id=0,
        switch=Switch(message.switch),
        server_id=message.server_id,
        name=message.name,
        reason=message.reason,
        count=message.count,
        first_at=from_unix_seconds(message.first_at),
        last_at=from_unix_seconds(message.last_at),
    )


def _claimant(identity: Identity, last_seen: datetime | None) -> pb.Claimant:
    return pb.Claimant(
        evidence=evidence_to_message(identity.evidence),
        address=identity.address,
        last_seen=to_unix_seconds(last_seen),
    )


def _identity(message: pb.Claimant) -> Identity:
    return Identity(evidence_from_message(message.evidence), address=message.address)
