from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from application.configuration.effective_configuration import (
    CONFIGURED_BY_LABELS,
    effective_configuration,
    servers_to_configure,
)
from application.ports.clock import Clock
from application.ports.store.store import Store, Transaction
from application.removal.move_to_deleted import move_to_deleted
from domain.configuration import has_older_revision
from domain.errors import InvalidField, ServerIsOnline
from domain.events import Event, EventKind
from domain.labels import check_labels
from domain.liveness import Status
from domain.retention import DEFAULT_RETENTION, Retention
from domain.server import Server

# Of what may be many, in a cause.
_NAMED = 5


@dataclass(frozen=True)
class MergeServers:
    """Make one of two servers of which a host has the new one: what hung on the old one hangs on
    the new one then, where that had nothing of the same name, and the old one is deleted.

    Raises InvalidField, ServerNotFound, and ServerIsOnline for an old one that is online.
    """

    store: Store
    clock: Clock
    retention: Retention = DEFAULT_RETENTION

    def __call__(self, old_server_id: int, new_server_id: int) -> Server:
        if old_server_id == new_server_id:
            raise InvalidField("new_server_id", "is the same server as old_server_id")
        with self.store.begin() as transaction:
            both, revision = servers_to_configure(transaction, [old_server_id, new_server_id])
            old, new = both[old_server_id], both[new_server_id]
            if old.presence.status is Status.ONLINE:
                raise ServerIsOnline(old_server_id, "stop its host first")
            if old.is_default:
                transaction.servers.save(replace(new, is_default=True))
            now = self.clock.now()
            had = effective_configuration(transaction, new)
            labels = _move_labels(transaction, old, new)
            documents, revision = _move_documents(transaction, old, new, revision, now)
            has = effective_configuration(transaction, transaction.servers.get(new_server_id))
            # A change on a selector that the new one misses, as it is not selected any more.
            misses_change = transaction.selector_changes.any()
            if has != had or misses_change:
                resync = misses_change or has_older_revision(had, has, new.config_revision)
                transaction.servers.configure([new_server_id], revision, resync=resync)
            # Before the event of the old one, which is the last that is told of it.
            transaction.history.move(old_server_id, new_server_id)
            causes = {EventKind.MERGED: f"an operator merged {_named(old)} into it"}
            if labels:
                causes[EventKind.LABELLED] = f"labels came from {_named(old)}: {_some(labels)}"
            if documents:
                said = f"documents came from {_named(old)}: {_some(documents)}"
                causes[EventKind.CONFIGURED] = said
            elif has != had:
                causes[EventKind.CONFIGURED] = CONFIGURED_BY_LABELS
            transaction.outbox.add(
                [Event(kind, new_server_id, now, cause) for kind, cause in causes.items()]
            )
            cause = f"an operator merged it into {_named(new)}"
            move_to_deleted(transaction, [old], cause, now, self.retention.deleted)
            return transaction.servers.get(new_server_id)


def _move_labels(transaction: Transaction, old: Server, new: Server) -> Sequence[str]:
    """The keys of those that the new server got."""
    had = new.labels.of_operators
    labels = {**old.labels.of_operators, **had}
    check_labels(labels)
    if labels != had:
        transaction.labels.set_operator_labels(new.server_id, labels)
    return sorted(labels.keys() - had.keys())


def _move_documents(
    transaction: Transaction, old: Server, new: Server, revision: int, now: datetime
) -> tuple[Sequence[str], int]:
    """The names of those that the new server got, and the last of their revisions. They stay with
    the record of the old one, too, for whoever restores it."""
    had = {found.name for found in transaction.configurations.summaries(new.server_id)}
    came: list[str] = []
    for found in transaction.configurations.summaries(old.server_id):
        document = transaction.configurations.get(old.server_id, found.name)
        if document and found.name not in had:
            if came:
                # What has one revision is sent in one answer.
                revision = transaction.configuration_clock.tick()
            moved = replace(document, revision=revision, updated_at=now)
            transaction.configurations.put(new.server_id, moved)
            came.append(found.name)
    return came, revision


def _named(server: Server) -> str:
    return f"server {server.server_id} ({server.name})"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
