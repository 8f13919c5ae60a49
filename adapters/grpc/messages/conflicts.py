"""Conflicts, and what would be refused, as messages of the wire contract, and back."""

from datetime import UTC, datetime

from adapters.grpc.messages.hosts import evidence_from_message, evidence_to_message, unix_seconds
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
        opened_at=unix_seconds(conflict.opened_at),
        last_claimed_at=unix_seconds(conflict.last_claimed_at),
        claims=conflict.claims,
        holder=_claimant(conflict.holder, conflict.holder_last_seen),
        challenger=_claimant(conflict.challenger, conflict.last_claimed_at),
        agreeing=comparison.agreeing,
        differing=comparison.differing,
    )


def conflict_from_message(message: pb.Conflict) -> Conflict:
    """What an operator may know of it."""
    holder_seen = message.holder.last_seen
    return Conflict(
        conflict_id=message.conflict_id,
        server_id=message.server_id,
        name=message.name,
        state=ConflictState(message.state),
        holder=_identity(message.holder),
        holder_last_seen=_moment(holder_seen) if holder_seen else None,
        challenger=_identity(message.challenger),
        opened_at=_moment(message.opened_at),
        last_claimed_at=_moment(message.last_claimed_at),
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
        first_at=unix_seconds(entry.first_at),
        last_at=unix_seconds(entry.last_at),
    )


def dry_run_refusal_from_message(message: pb.WouldReject) -> DryRunRefusal:
    """Without its entry_id, which no operator needs."""
    return DryRunRefusal(
        entry_id=0,
        switch=Switch(message.switch),
        server_id=message.server_id,
        name=message.name,
        reason=message.reason,
        count=message.count,
        first_at=_moment(message.first_at),
        last_at=_moment(message.last_at),
    )


def _claimant(identity: Identity, last_seen: datetime | None) -> pb.Claimant:
    return pb.Claimant(
        evidence=evidence_to_message(identity.evidence),
        address=identity.address,
        last_seen=unix_seconds(last_seen) if last_seen else 0,
    )


def _identity(message: pb.Claimant) -> Identity:
    return Identity(evidence_from_message(message.evidence), address=message.address)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
