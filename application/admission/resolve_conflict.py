from dataclasses import dataclass, replace

from application.ports.clock import Clock
from application.ports.store.store import Store, Transaction
from application.removal.move_to_deleted import move_to_deleted
from domain.conflict import Conflict, ConflictState, Resolution
from domain.errors import ConflictAlreadyResolved, InvalidField, ServerNameTaken
from domain.events import Event, EventKind
from domain.machine_evidence import compare
from domain.naming import check_name
from domain.retention import DEFAULT_RETENTION, Retention
from domain.server import Server


@dataclass(frozen=True)
class ResolveConflict:
    """An operator decides which of two machines gets a name. RegisterServer keeps to it at their
    next claims.

    Who is evicted loses its server, which RestoreServer brings back. Raises ConflictNotFound,
    ConflictAlreadyResolved, InvalidField, and ServerNameTaken where the new name belongs to a third
    machine.
    """

    store: Store
    clock: Clock
    retention: Retention = DEFAULT_RETENTION

    def __call__(self, conflict_id: int, resolution: Resolution, new_name: str = "") -> Conflict:
        _check_new_name(resolution, new_name)
        with self.store.begin() as transaction:
            contested = transaction.conflicts.get(conflict_id)
            if new_name == contested.name:
                raise InvalidField("new_name", "is the name in conflict: choose another")
            # Locked first, as who registers does it: neither decides by what the other changes.
            server = transaction.servers.find(contested.name)
            contested = transaction.conflicts.get(conflict_id, lock=True)
            if not contested.is_unresolved:
                raise ConflictAlreadyResolved(conflict_id, contested.state)
            if server and _is_between_two(transaction, contested, server):
                if new_name:
                    _check_that_it_is_free(transaction, contested, new_name)
                return self._resolve(transaction, contested, server, resolution, new_name)
            lapsed = replace(contested, state=ConflictState.LAPSED)
            transaction.conflicts.save(lapsed)
        # Raised only now: that it lapsed is to stay.
        raise ConflictAlreadyResolved(conflict_id, lapsed.state)

    def _resolve(
        self,
        transaction: Transaction,
        contested: Conflict,
        server: Server,
        resolution: Resolution,
        new_name: str,
    ) -> Conflict:
        now = self.clock.now()
        resolved = replace(
            contested,
            state=ConflictState.RESOLVED,
            # Who is decided against is who has it now, a later process of it say.
            holder=transaction.identities.get(server.server_id),
            holder_last_seen=server.presence.last_seen,
            resolution=resolution,
            new_name=new_name,
            resolved_at=now,
        )
        transaction.conflicts.save(resolved)
        comparison = compare(resolved.holder.evidence, resolved.challenger.evidence)
        cause = _cause(resolved)
        decided = Event(
            EventKind.CONFLICT_RESOLVED,
            server.server_id,
            now,
            cause,
            comparison.agreeing,
            comparison.differing,
        )
        transaction.outbox.add([decided])
        if resolution is Resolution.EVICT:
            move_to_deleted(transaction, [server], cause, now, self.retention.deleted)
        return resolved


def _check_new_name(resolution: Resolution, new_name: str) -> None:
    if resolution is not Resolution.RENAME:
        if new_name:
            raise InvalidField("new_name", "is allowed only with rename")
        return
    try:
        check_name(new_name)
    except InvalidField as error:
        raise InvalidField("new_name", error.problem) from None


def _is_between_two(transaction: Transaction, contested: Conflict, server: Server) -> bool:
    """Whether the record of the name is still the contested one, and another machine has it."""
    holder = transaction.identities.get(server.server_id).evidence
    challenger = contested.challenger.evidence
    return server.server_id == contested.server_id and not compare(holder, challenger).same_machine


def _check_that_it_is_free(transaction: Transaction, contested: Conflict, new_name: str) -> None:
    """One that an operator made before its host has joined, and the challenger's own, are."""
    server = transaction.servers.find(new_name)
    if server is None or server.presence.last_seen is None:
        return
    there = transaction.identities.get(server.server_id).evidence
    if not compare(there, contested.challenger.evidence).same_machine:
        raise ServerNameTaken(new_name)


def _cause(resolved: Conflict) -> str:
    at = f" at {resolved.challenger.address}" if resolved.challenger.address else ""
    other = f"the other machine{at} that claims its name"
    match resolved.resolution:
        case Resolution.ADOPT:
            what = f"an operator gave it to {other}, which gets it at its next claim"
        case Resolution.RENAME:
            what = f"an operator left it its name: {other} joins as {resolved.new_name}"
        case _:
            what = f"an operator evicted it in favour of {other}"
    return f"{what} (conflict {resolved.conflict_id})"
