"""Why a server is what it is, in sentences for an operator."""

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

# Of what there may be many of.
_NAMED = 5
# So often within a day, it is no restart any more.
_MANY_REPLACEMENTS = 3

_STATUS_AFTER = {
    EventKind.ONLINE: Status.ONLINE,
    EventKind.OFFLINE: Status.OFFLINE,
    EventKind.STALE: Status.OFFLINE,
    EventKind.RESTORED: Status.OFFLINE,
}
# Of these the last one is told.
_TURNS = {
    EventKind.TAKEN_OVER: "it was taken over",
    EventKind.REPLACED: "its host manager was replaced by a later one",
    EventKind.READOPTED: "it was found again by its machine",
    EventKind.RENAMED: "it was renamed",
    EventKind.MERGED: "another server was merged into it",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to know of a server. `neighbours` are the other servers of its machine,
    `conflicts` the claims to its name, in any state."""

    server: Server
    identity: Identity
    history: Sequence[HistoryEntry]
    neighbours: Sequence[Server]
    conflicts: Sequence[Conflict]
    ephemeral_retention: timedelta
    now: datetime


def explain(facts: Facts) -> list[str]:
    return [
        *_what_it_is(facts),
        *_whether_it_is_let_in(facts),
        *_why_it_has_its_status(facts),
        *_how_it_was_registered(facts),
        *_status_transitions(facts),
        *_who_else_is_on_its_machine(facts),
        *_who_contests_its_name(facts),
        *_when_it_is_deleted(facts),
        *_where_operators_overrule_its_host(facts.server),
    ]


def explain_deleted(
    server: Server, deleted_at: datetime, purged_at: datetime, cause: str
) -> list[str]:
    """The same of a server that can be restored."""
    number, since, until = server.server_id, _moment(deleted_at), _moment(purged_at)
    return [
        f"Server {number} ({server.name}) is deleted since {since}{_because(cause)}.",
        f"Until {until} `manmanv2 servers restore {number}` brings it back, with all that it had.",
    ]


def _what_it_is(facts: Facts) -> Iterator[str]:
    server = facts.server
    environment = f" of the environment {server.environment}" if server.environment else ""
    default = ", and it is the default server" if server.is_default else ""
    yield (
        f"Server {server.server_id} is {server.name}{environment}: {server.approval} and"
        f" {server.presence.status}{default}."
    )


def _whether_it_is_let_in(facts: Facts) -> Iterator[str]:
    server = facts.server
    approve = f"`manmanv2 servers approve {server.server_id}`"
    reason = f" ({server.approval_reason})" if server.approval_reason else ""
    match server.approval:
        case Approval.PENDING:
            yield (
                "It waits for an operator, and gets no configuration and no commands until"
                f" {approve}."
            )
        case Approval.REJECTED:
            yield f"An operator rejected it{reason}: its host is refused until {approve}."
        case Approval.BANNED:
            refused = "its machine is refused under any name"
            if not facts.identity.evidence:
                # Nothing is known by which to tell the machine.
                refused = "its host is refused"
            yield f"An operator banned it{reason}: {refused} until {approve}."
        case Approval.APPROVED:
            pass


def _why_it_has_its_status(facts: Facts) -> Iterator[str]:
    server, presence = facts.server, facts.server.presence
    # What happened to a server that was merged into it may have happened later.
    changes = (
        entry
        for entry in reversed(facts.history)
        if _STATUS_AFTER.get(entry.kind) is presence.status
    )
    last = next(changes, None)
    if last:
        yield f"It is {presence.status} since {_moment(last.at)}{_because(last.cause)}."
    elif presence.last_seen:
        yield f"Since when it is {presence.status} is not known: its history does not say."
    if presence.last_seen is None:
        yield "No host of it was ever heard."
        if server.approval.admits:
            yield f"A host manager joins as it with SERVER_NAME={server.name}."
    elif presence.status is Status.ONLINE:
        yield f"Its host was heard {_ago(presence.last_seen, facts.now)}."
    else:
        yield f"Its host was heard last at {_moment(presence.last_seen)}."
        if not server.approval.admits:
            return
        if last and last.kind is EventKind.STALE:
            yield (
                "Whether its host manager is up and reaches the API is told by"
                " `manmanv2 doctor host` on its machine."
            )
        else:
            yield "It comes online when its host is heard again."


def _how_it_was_registered(facts: Facts) -> Iterator[str]:
    server, identity = facts.server, facts.identity
    if server.epoch:
        counted = "registration was" if server.epoch == 1 else "registrations were"
        last = ""
        if identity.registered_at:
            address = f" from {identity.address}" if identity.address else ""
            last = f", the last{address} at {_moment(identity.registered_at)}"
        yield f"{server.epoch} {counted} counted{last}."
    if identity.registered_at and not identity.evidence:
        yield "Its host says nothing of its machine: whoever knows the name gets this server."


def _status_transitions(facts: Facts) -> Iterator[str]:
    last = {entry.kind: entry for entry in facts.history if entry.kind in _TURNS}
    for entry in sorted(last.values(), key=lambda entry: entry.at):
        turn = f"{_TURNS[entry.kind]}{_because(entry.cause)}{_shown(entry)}"
        yield f"At {_moment(entry.at)} {turn}."
    replaced = [
        entry
        for entry in facts.history
        if entry.kind is EventKind.REPLACED and facts.now - entry.at < timedelta(days=1)
    ]
    if len(replaced) >= _MANY_REPLACEMENTS:
        yield (
            f"That happened {len(replaced)} times within a day: look whether two host managers"
            " are started under its name, and stop one, or whether one is killed and started"
            " again."
        )


def _who_else_is_on_its_machine(facts: Facts) -> Iterator[str]:
    server = facts.server
    for other in facts.neighbours[:_NAMED]:
        named = f"Server {other.server_id} ({other.name}) is on the same machine, and"
        pair = {server.presence.status: server, other.presence.status: other}
        # Those of two environments are there side by side; one may have been forgotten, though.
        environments = {server.environment, other.environment} - {""}
        if len(pair) == 2 and len(environments) < 2:
            old, new = pair[Status.OFFLINE].server_id, pair[Status.ONLINE].server_id
            yield (
                f"{named} {other.presence.status}: if the host was renamed, `manmanv2 servers"
                f" merge {old} {new}` makes one of both."
            )
        else:
            yield f"{named} {other.presence.status}."
    more = len(facts.neighbours) - _NAMED
    if more > 0:
        yield f"So are {more} more." if more > 1 else "So is 1 more."


def _who_contests_its_name(facts: Facts) -> Iterator[str]:
    contests = [
        conflict
        for conflict in facts.conflicts
        if conflict.state is ConflictState.OPEN and conflict.server_id == facts.server.server_id
    ]
    for conflict in contests[:_NAMED]:
        number, claims = conflict.conflict_id, conflict.claims
        address = f" at {conflict.challenger.address}" if conflict.challenger.address else ""
        often = f"{claims} times, the last time" if claims > 1 else "once,"
        yield (
            f"Another machine{address} claimed its name {often} at"
            f" {_moment(conflict.last_claimed_at)} (conflict {number})."
        )
        yield likely_cause(compare(conflict.holder.evidence, conflict.challenger.evidence))
        yield (
            f"Who gets the name is settled by `manmanv2 conflicts resolve {number}` with --adopt,"
            " --rename or --evict."
        )
    more = len(contests) - _NAMED
    if more > 0:
        others = "machines claim" if more > 1 else "machine claims"
        yield f"{more} more {others} its name: see `manmanv2 conflicts list`."


def _when_it_is_deleted(facts: Facts) -> Iterator[str]:
    presence = facts.server.presence
    if not facts.server.ephemeral:
        return
    spared = duration_in_words(facts.ephemeral_retention)
    if presence.status is Status.ONLINE or presence.last_seen is None:
        yield f"It is ephemeral: once it was not heard for {spared}, it is deleted."
        return
    at = presence.last_seen + facts.ephemeral_retention
    if at > facts.now:
        yield f"It is ephemeral: unless its host is heard, it is deleted after {_moment(at)}."
    else:
        yield f"It is ephemeral and was not heard for {spared}: it is deleted soon."


def _where_operators_overrule_its_host(server: Server) -> Iterator[str]:
    of_host, of_operators = server.labels.of_host, server.labels.of_operators
    overruled = [
        f"{key}={of_operators[key]} where its host says {of_host[key] or 'nothing'}"
        for key in sorted(of_host.keys() & of_operators.keys())
        if of_host[key] != of_operators[key]
    ]
    if overruled:
        more = len(overruled) - _NAMED
        others = f" and {more} more" if more > 0 else ""
        yield f"Operators say {', '.join(overruled[:_NAMED])}{others}."


def _shown(entry: HistoryEntry) -> str:
    """The evidence, where the cause does not name it already."""
    shown = []
    for kinds, what in ((entry.differing, "differed"), (entry.agreeing, "agreed")):
        words = kinds_in_words(kinds)
        if words and words not in entry.cause:
            shown.append(f"{words} {what}")
    return f" ({', '.join(shown)})" if shown else ""


def _because(cause: str) -> str:
    return f": {cause}" if cause else ""


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _ago(moment: datetime, now: datetime) -> str:
    seconds = max(0, int((now - moment).total_seconds()))
    return "just now" if seconds == 0 else f"{duration_in_words(timedelta(seconds=seconds))} ago"
