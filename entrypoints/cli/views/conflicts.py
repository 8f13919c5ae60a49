"""How a conflict is shown."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from domain.conflict import Conflict, Resolution, likely_cause
from domain.machine_evidence import KINDS, Comparison, Identity, compare
from entrypoints.cli.views.output import printable
from entrypoints.cli.views.tables import Column, Fit, aligned, print_table
from entrypoints.cli.views.times import ago, iso

# Enough to tell digests apart, and to find them in the JSON.
_DIGITS = 12


def print_conflicts(conflicts: Iterable[Conflict], now: datetime) -> None:
    columns = (
        Column("ID"),
        Column("NAME", Fit.CUT),
        Column("SERVER"),
        Column("STATE"),
        Column("HOLDER", Fit.LEAVE_OUT),
        Column("CHALLENGER", Fit.LEAVE_OUT),
        Column("CLAIMS", Fit.LEAVE_OUT),
        Column("LAST CLAIM", Fit.LEAVE_OUT),
    )
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
    print_table(columns, rows)


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


def conflict_details(conflict: Conflict, command: str, now: datetime) -> list[str]:
    """Lines that end with the commands to resolve it; each of these begins with `command`."""
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
        for resolution, new_name in _RESOLUTIONS:
            option = f"--{resolution} {new_name}".rstrip()
            lines += [
                f"  {command} conflicts resolve {conflict.conflict_id} {option}",
                f"      {describe_effect(conflict, resolution, new_name)}",
            ]
    return lines


_RESOLUTIONS = ((Resolution.ADOPT, ""), (Resolution.RENAME, "NAME"), (Resolution.EVICT, ""))


def describe_effect(conflict: Conflict, resolution: Resolution, new_name: str) -> str:
    """What a resolution does to the server and to both machines, without a full stop."""
    server = f"server {conflict.server_id} ({conflict.name})"
    holder = _claimant("holder", conflict.holder)
    challenger = _claimant("challenger", conflict.challenger)
    match resolution:
        case Resolution.ADOPT:
            return (
                f"{challenger} takes over {server} with all its data the next time it registers;"
                f" then {holder} must stop, and is refused under this name"
            )
        case Resolution.RENAME:
            return (
                f"{challenger} becomes a new server named {new_name} the next time it registers;"
                f" {holder} keeps {server}"
            )
        case Resolution.EVICT:
            return (
                f"{server} is deleted with all its data, and {holder} is refused under this name;"
                f" {challenger} gets the name as a new, empty server the next time it registers"
            )


def _state(conflict: Conflict) -> str:
    if not conflict.resolution:
        return conflict.state.value
    new_name = f" {conflict.new_name}" if conflict.new_name else ""
    return f"resolved by {conflict.resolution}{new_name}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _claimant(role: str, identity: Identity) -> str:
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
        verdict = "the same" if kind in comparison.agreeing else "different"
        if kind not in (*comparison.agreeing, *comparison.differing):
            verdict = "not known for both"
        rows.append((name, here[:_DIGITS] or "-", there[:_DIGITS] or "-", verdict))
    return aligned([[printable(cell) for cell in row] for row in rows])
