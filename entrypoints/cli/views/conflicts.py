"""How a conflict is shown."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from domain.conflict import Conflict, Resolution, likely_cause
from domain.machine_evidence import KINDS, Comparison, Identity, compare
from entrypoints.cli.views.tables import ago, aligned, iso, table

# Enough to tell digests apart, and to find them in the JSON.
_DIGITS = 12


def conflict_table(conflicts: Iterable[Conflict], now: datetime) -> str:
    columns = ("ID", "NAME", "SERVER", "STATE", "HOLDER", "CHALLENGER", "CLAIMS", "LAST CLAIM")
    rows = [
        (
            str(conflict.conflict_id),
            conflict.name,
            str(conflict.server_id),
            conflict.resolution or conflict.state.value,
            conflict.holder.address or "-",
            conflict.challenger.address or "-",
            str(conflict.claims),
            ago(conflict.last_claimed_at, now),
        )
        for conflict in conflicts
    ]
    return table(columns, rows)


def conflict_json(conflict: Conflict) -> dict[str, Any]:
    """Named as in the wire contract; times are ISO 8601 in UTC."""
    comparison = compare(conflict.holder.evidence, conflict.challenger.evidence)
    return {
        "conflict_id": conflict.conflict_id,
        "name": conflict.name,
        "server_id": conflict.server_id,
        "state": conflict.state.value,
        "resolution": conflict.resolution.value if conflict.resolution else None,
        "new_name": conflict.new_name or None,
        "opened_at": iso(conflict.opened_at),
        "last_claimed_at": iso(conflict.last_claimed_at),
        "claims": conflict.claims,
        "holder": _claimant_json(conflict.holder, conflict.holder_last_seen),
        "challenger": _claimant_json(conflict.challenger, conflict.last_claimed_at),
        "agreeing": list(comparison.agreeing),
        "differing": list(comparison.differing),
    }


def _claimant_json(identity: Identity, last_seen: datetime | None) -> dict[str, Any]:
    return {
        "address": identity.address or None,
        "last_seen": iso(last_seen) if last_seen else None,
        "evidence": asdict(identity.evidence),
    }


def conflict_details(conflict: Conflict, command: str, now: datetime) -> str:
    """With ready commands to resolve it; `command` is how they begin."""
    comparison = compare(conflict.holder.evidence, conflict.challenger.evidence)
    server = f"server {conflict.server_id} ({conflict.name})"
    claims = f"claimed {_times(conflict.claims)} since {iso(conflict.opened_at)}"
    lines = [
        f"Conflict {conflict.conflict_id}: another machine claims the name of {server}.",
        f"It is {_state(conflict)}; {claims}.",
        "",
        *_sides(conflict, comparison, now),
        "",
        likely_cause(comparison),
    ]
    if conflict.is_unresolved:
        lines += ["", "Resolve it in one of these ways:"]
        for resolution, new_name in _WAYS:
            option = f"--{resolution} {new_name}".rstrip()
            lines += [
                f"  {command} conflicts resolve {conflict.conflict_id} {option}",
                f"      {describe_effect(conflict, resolution, new_name)}",
            ]
    return "\n".join(lines)


_WAYS = ((Resolution.ADOPT, ""), (Resolution.RENAME, "NAME"), (Resolution.EVICT, ""))


def describe_effect(conflict: Conflict, resolution: Resolution, new_name: str) -> str:
    """To whom, without a full stop."""
    server = f"server {conflict.server_id} ({conflict.name})"
    holder, challenger = _who("holder", conflict.holder), _who("challenger", conflict.challenger)
    match resolution:
        case Resolution.ADOPT:
            return (
                f"{challenger} gets {server} with all that hangs on it at its next claim, and then"
                f" {holder} is told to stop and refused under this name"
            )
        case Resolution.RENAME:
            return (
                f"{challenger} joins as a server of its own named {new_name} at its next claim,"
                f" and {holder} keeps {server}"
            )
        case Resolution.EVICT:
            return (
                f"{server} is deleted with all that hangs on it, {holder} is refused under this"
                f" name, and {challenger} joins under it with nothing at its next claim"
            )


def _state(conflict: Conflict) -> str:
    if not conflict.resolution:
        return conflict.state.value
    chosen = f" {conflict.new_name}" if conflict.new_name else ""
    return f"resolved by {conflict.resolution}{chosen}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _who(role: str, identity: Identity) -> str:
    return f"the {role} at {identity.address}" if identity.address else f"the {role}"


def _sides(conflict: Conflict, comparison: Comparison, now: datetime) -> list[str]:
    holder, challenger = conflict.holder, conflict.challenger
    seen = conflict.holder_last_seen
    rows = [
        ("", "HOLDER", "CHALLENGER", ""),
        ("address", holder.address or "-", challenger.address or "-", ""),
        (
            "last seen",
            ago(seen, now) if seen else "never",
            ago(conflict.last_claimed_at, now),
            "",
        ),
    ]
    for kind, name in KINDS.items():
        here, there = getattr(holder.evidence, kind), getattr(challenger.evidence, kind)
        verdict = "the same" if kind in comparison.agreeing else "another"
        if kind not in (*comparison.agreeing, *comparison.differing):
            verdict = "not known of both"
        rows.append((name, here[:_DIGITS] or "-", there[:_DIGITS] or "-", verdict))
    return aligned(rows)
