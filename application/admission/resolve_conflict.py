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
    """An operator decides which of two machines gets a name. RegisterServer applies the decision to
    their next claims.

    An evicted machine loses its server, which RestoreServer can bring back. Raises
    ConflictNotFound, ConflictAlreadyResolved, InvalidField, and ServerNameTaken if the new name
    belongs to a third machine.
    """

    store: Store
    clock: Clock
    retention: Retention = DEFAULT_RETENTION

    def __call__(self, conflict_id: int, resolution: Resolution, new_name: str = "") -> Conflict:
        _check_new_name(resolution, new_name)
        with self.store.begin() as transaction:
            conflict = transaction.conflicts.get(conflict_id)
            if new_name == conflict.name:
                raise InvalidField("new_name", "is the name in conflict: choose another")
            # Locked first, as in a registration: neither may decide by data that the other changes.
            server = transaction.servers.find(conflict.name)
            conflict = transaction.conflicts.get(conflict_id, lock=True)
            if not conflict.is_unresolved:
                raise ConflictAlreadyResolved(conflict_id, conflict.state)
            if server and _is_between_two(transaction, conflict, server):
                if new_name:
                    _check_is_free(transaction, conflict, new_name)
                return self._resolve(transaction, conflict, server, resolution, new_name)
            lapsed = replace(conflict, state=ConflictState.LAPSED)
            transaction.conflicts.save(lapsed)
        # Raised after the commit, so that the lapsed state is kept.
        raise ConflictAlreadyResolved(conflict_id, lapsed.state)

    def _resolve(
        self,
        transaction: Transaction,
        conflict: Conflict,
        server: Server,
        resolution: Resolution,
        new_name: str,
    ) -> Conflict:
        now = self.clock.now()
        resolved = replace(
            conflict,
            state=ConflictState.RESOLVED,
            # The decision is against the present holder, for example a later process.
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


def _is_between_two(transaction: Transaction, conflict: Conflict, server: Server) -> bool:
    """Whether the name still belongs to the same server, and that server to another machine."""
    holder = transaction.identities.get(server.server_id).evidence
    challenger = conflict.challenger.evidence
    return server.server_id == conflict.server_id and not compare(holder, challenger).same_machine


def _check_is_free(transaction: Transaction, conflict: Conflict, new_name: str) -> None:
    """Raise ServerNameTaken unless the name is free, belongs to a server that no host has joined
    yet, or belongs to the challenger."""
    server = transaction.servers.find(new_name)
    if server is None or server.presence.last_seen is None:
        return
    owner = transaction.identities.get(server.server_id).evidence
    if not compare(owner, conflict.challenger.evidence).same_machine:
        raise ServerNameTaken(new_name)


def _cause(resolved: Conflict) -> str:
    at = f" at {resolved.challenger.address}" if resolved.challenger.address else ""
    other = f"the other machine{at} that claims its name"
    match resolved.resolution:
        case Resolution.ADOPT:
            what = f"an operator gave it to {other}, which gets it at its next claim"
        case Resolution.RENAME:
            what = f"an operator let it keep its name: {other} joins as {resolved.new_name}"
        case _:
            what = f"an operator evicted it in favour of {other}"
    return f"{what} (conflict {resolved.conflict_id})"
