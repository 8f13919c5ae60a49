"""Why a server is in its present state, in sentences for an operator."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.approval import Approval
from domain.conflict import Conflict, ConflictState, likely_cause
from domain.events import EventKind
from domain.history import HistoryEntry
from domain.liveness import Status
from domain.machine_evidence import Identity, compare, kinds_in_words
from domain.retention import duration_in_words
from domain.server import Server

# How many neighbours, conflicts and labels are listed; the rest is only counted.
_MAX_LISTED = 5
# From this many replacements in a day on, restarts are an unlikely explanation.
_MANY_REPLACEMENTS = 3

_STATUS_AFTER = {
    EventKind.ONLINE: Status.ONLINE,
    EventKind.OFFLINE: Status.OFFLINE,
    EventKind.STALE: Status.OFFLINE,
    EventKind.RESTORED: Status.OFFLINE,
}
# Only the last event of each of these kinds is reported.
_OWNERSHIP_EVENTS = {
    EventKind.TAKEN_OVER: "it was taken over",
    EventKind.REPLACED: "its host manager was replaced by a later one",
    EventKind.READOPTED: "its machine reclaimed it under another name",
    EventKind.RENAMED: "it was renamed",
    EventKind.MERGED: "another server was merged into it",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is known about a server.

    `neighbours` are the other servers of its machine; `conflicts` are the claims to its name, in
    any state.
    """

    server: Server
    identity: Identity
    history: Sequence[HistoryEntry]
    neighbours: Sequence[Server]
    conflicts: Sequence[Conflict]
    ephemeral_retention: timedelta
    now: datetime


def explain(facts: Facts) -> list[str]:
    return [
        *_summary(facts),
        *_approval(facts),
        *_status(facts),
        *_registrations(facts),
        *_ownership_changes(facts),
        *_neighbours(facts),
        *_open_conflicts(facts),
        *_ephemeral_deletion(facts),
        *_overridden_labels(facts.server),
    ]


def explain_deleted(
    server: Server, deleted_at: datetime, purged_at: datetime, cause: str
) -> list[str]:
    """The same for a deleted server that can still be restored."""
    number, since, until = server.server_id, _timestamp(deleted_at), _timestamp(purged_at)
    return [
        f"Server {number} ({server.name}) was deleted at {since}{_because(cause)}.",
        f"Until {until}, `manmanv2 servers restore {number}` restores it with everything it had.",
    ]


def _summary(facts: Facts) -> Iterator[str]:
    server = facts.server
    environment = f" in the environment {server.environment}" if server.environment else ""
    default = ", and it is the default server" if server.is_default else ""
    yield (
        f"Server {server.server_id} is {server.name}{environment}: {server.approval} and"
        f" {server.presence.status}{default}."
    )


def _approval(facts: Facts) -> Iterator[str]:
    server = facts.server
    until = f"until an operator runs `manmanv2 servers approve {server.server_id}`"
    reason = f" ({server.approval_reason})" if server.approval_reason else ""
    match server.approval:
        case Approval.PENDING:
            yield f"It is not approved yet and gets no configuration and no commands {until}."
        case Approval.REJECTED:
            yield f"An operator rejected it{reason}: its host is refused {until}."
        case Approval.BANNED:
            refused = "its machine is refused under any name"
            if not facts.identity.evidence:
                # Without evidence the machine cannot be recognised under another name.
                refused = "its host is refused"
            yield f"An operator banned it{reason}: {refused} {until}."
        case Approval.APPROVED:
            pass


def _status(facts: Facts) -> Iterator[str]:
    server, presence = facts.server, facts.server.presence
    # The history of a server that was merged into this one may end later, in another status.
    changes = (
        entry
        for entry in reversed(facts.history)
        if _STATUS_AFTER.get(entry.kind) is presence.status
    )
    last = next(changes, None)
    if last:
        since = _timestamp(last.at)
        yield f"It has been {presence.status} since {since}{_because(last.cause)}."
    elif presence.last_seen:
        yield f"Its history does not show since when it has been {presence.status}."
    if presence.last_seen is None:
        yield "No host has ever registered as this server."
        if server.approval.admits:
            yield f"A host manager with SERVER_NAME={server.name} registers as this server."
    elif presence.status is Status.ONLINE:
        yield f"Its last heartbeat arrived {_ago(presence.last_seen, facts.now)}."
    else:
        yield f"Its last heartbeat arrived at {_timestamp(presence.last_seen)}."
        if not server.approval.admits:
            return
        if last and last.kind is EventKind.STALE:
            yield (
                "To check whether its host manager runs and reaches the API, run"
                " `manmanv2 doctor host` on its machine."
            )
        else:
            yield "It comes online with the next heartbeat of its host."


def _registrations(facts: Facts) -> Iterator[str]:
    server, identity = facts.server, facts.identity
    if server.epoch:
        times = "once" if server.epoch == 1 else f"{server.epoch} times"
        last = ""
        if identity.registered_at:
            address = f" from {identity.address}" if identity.address else ""
            last = f", most recently{address} at {_timestamp(identity.registered_at)}"
        yield f"Its host has registered {times}{last}."
    if identity.registered_at and not identity.evidence:
        yield (
            "Its host sends no evidence of its machine: any host that uses this name gets this"
            " server."
        )


def _ownership_changes(facts: Facts) -> Iterator[str]:
    last = {entry.kind: entry for entry in facts.history if entry.kind in _OWNERSHIP_EVENTS}
    for entry in sorted(last.values(), key=lambda entry: entry.at):
        change = f"{_OWNERSHIP_EVENTS[entry.kind]}{_because(entry.cause)}{_evidence(entry)}"
        yield f"At {_timestamp(entry.at)} {change}."
    replaced = [
        entry
        for entry in facts.history
        if entry.kind is EventKind.REPLACED and facts.now - entry.at < timedelta(days=1)
    ]
    if len(replaced) >= _MANY_REPLACEMENTS:
        yield (
            f"That happened {len(replaced)} times within a day: check whether two host managers"
            " use its name, and stop one of them; or whether one host manager is killed and"
            " restarted again and again."
        )


def _neighbours(facts: Facts) -> Iterator[str]:
    server = facts.server
    for other in facts.neighbours[:_MAX_LISTED]:
        is_there = f"Server {other.server_id} ({other.name}) is on the same machine and"
        pair = {server.presence.status: server, other.presence.status: other}
        # Servers of two environments run side by side. But a host may have lost its environment.
        environments = {server.environment, other.environment} - {""}
        if len(pair) == 2 and len(environments) < 2:
            old, new = pair[Status.OFFLINE].server_id, pair[Status.ONLINE].server_id
            yield (
                f"{is_there} {other.presence.status}: if the host was renamed, `manmanv2 servers"
                f" merge {old} {new}` makes them one server."
            )
        else:
            yield f"{is_there} {other.presence.status}."
    more = len(facts.neighbours) - _MAX_LISTED
    if more > 0:
        yield f"So are {more} more." if more > 1 else "So is 1 more."


def _open_conflicts(facts: Facts) -> Iterator[str]:
    conflicts = [
        conflict
        for conflict in facts.conflicts
        if conflict.state is ConflictState.OPEN and conflict.server_id == facts.server.server_id
    ]
    for conflict in conflicts[:_MAX_LISTED]:
        number, claims = conflict.conflict_id, conflict.claims
        address = f" at {conflict.challenger.address}" if conflict.challenger.address else ""
        times = f"{claims} times, most recently" if claims > 1 else "once,"
        yield (
            f"Another machine{address} claimed its name {times} at"
            f" {_timestamp(conflict.last_claimed_at)} (conflict {number})."
        )
        yield likely_cause(compare(conflict.holder.evidence, conflict.challenger.evidence))
        yield (
            f"To decide who gets the name, run `manmanv2 conflicts resolve {number}` with --adopt,"
            " --rename or --evict."
        )
    more = len(conflicts) - _MAX_LISTED
    if more > 0:
        others = "machines claim" if more > 1 else "machine claims"
        yield f"{more} more {others} its name: see `manmanv2 conflicts list`."


def _ephemeral_deletion(facts: Facts) -> Iterator[str]:
    presence = facts.server.presence
    if not facts.server.ephemeral:
        return
    retention = duration_in_words(facts.ephemeral_retention)
    if presence.status is Status.ONLINE or presence.last_seen is None:
        yield f"It is ephemeral: it is deleted after {retention} without a heartbeat."
        return
    at = presence.last_seen + facts.ephemeral_retention
    if at > facts.now:
        yield (
            f"It is ephemeral: it is deleted after {_timestamp(at)} unless its host sends a"
            " heartbeat."
        )
    else:
        yield (f"It is ephemeral and had no heartbeat for {retention}: it will be deleted soon.")


def _overridden_labels(server: Server) -> Iterator[str]:
    of_host, of_operators = server.labels.of_host, server.labels.of_operators
    overridden = [
        f"{key}={of_operators[key]} instead of {of_host[key] or 'nothing'}"
        for key in sorted(of_host.keys() & of_operators.keys())
        if of_host[key] != of_operators[key]
    ]
    if overridden:
        more = len(overridden) - _MAX_LISTED
        others = f" and {more} more" if more > 0 else ""
        listed = ", ".join(overridden[:_MAX_LISTED])
        yield f"Operators' labels override those of its host: {listed}{others}."


def _evidence(entry: HistoryEntry) -> str:
    """The evidence of the event, unless the cause names it already."""
    parts = []
    for kinds, verb in ((entry.differing, "differed"), (entry.agreeing, "agreed")):
        names = kinds_in_words(kinds)
        if names and names not in entry.cause:
            parts.append(f"{names} {verb}")
    return f" ({', '.join(parts)})" if parts else ""


def _because(cause: str) -> str:
    return f": {cause}" if cause else ""


def _timestamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _ago(at: datetime, now: datetime) -> str:
    seconds = max(0, int((now - at).total_seconds()))
    return "just now" if seconds == 0 else f"{duration_in_words(timedelta(seconds=seconds))} ago"
