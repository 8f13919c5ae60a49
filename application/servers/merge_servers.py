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

# How many labels or documents a cause lists.
_MAX_LISTED = 5


@dataclass(frozen=True)
class MergeServers:
    """Merge an old server into the new one that its host now uses, and delete the old one.

    The new server gets the labels and documents of the old one unless it has one of the same name.
    It gets the history and the default mark too. Raises InvalidField, ServerNotFound, and
    ServerIsOnline if the old server is online.
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
            before = effective_configuration(transaction, new)
            labels = _move_labels(transaction, old, new)
            documents, revision = _move_documents(transaction, old, new, revision, now)
            after = effective_configuration(transaction, transaction.servers.get(new_server_id))
            # A pending change on a selector that no longer selects the new server never reaches it.
            misses_change = transaction.selector_changes.any()
            if after != before or misses_change:
                resync = misses_change or has_older_revision(before, after, new.config_revision)
                transaction.servers.configure([new_server_id], revision, resync=resync)
            # First, because the event of its deletion must be the last of the old server.
            transaction.history.move(old_server_id, new_server_id)
            causes = {EventKind.MERGED: f"an operator merged {_named(old)} into it"}
            if labels:
                causes[EventKind.LABELLED] = f"labels came from {_named(old)}: {_some(labels)}"
            if documents:
                documents_cause = f"documents came from {_named(old)}: {_some(documents)}"
                causes[EventKind.CONFIGURED] = documents_cause
            elif after != before:
                causes[EventKind.CONFIGURED] = CONFIGURED_BY_LABELS
            transaction.outbox.add(
                [Event(kind, new_server_id, now, cause) for kind, cause in causes.items()]
            )
            cause = f"an operator merged it into {_named(new)}"
            move_to_deleted(transaction, [old], cause, now, self.retention.deleted)
            return transaction.servers.get(new_server_id)


def _move_labels(transaction: Transaction, old: Server, new: Server) -> Sequence[str]:
    """Returns the keys that the new server got."""
    own = new.labels.of_operators
    labels = {**old.labels.of_operators, **own}
    check_labels(labels)
    if labels != own:
        transaction.labels.set_operator_labels(new.server_id, labels)
    return sorted(labels.keys() - own.keys())


def _move_documents(
    transaction: Transaction, old: Server, new: Server, revision: int, now: datetime
) -> tuple[Sequence[str], int]:
    """Returns the names of the documents that the new server got, and the last of their revisions.

    The old server keeps its documents too, because it can be restored.
    """
    own = {summary.name for summary in transaction.configurations.summaries(new.server_id)}
    moved_names: list[str] = []
    for summary in transaction.configurations.summaries(old.server_id):
        document = transaction.configurations.get(old.server_id, summary.name)
        if document and summary.name not in own:
            if moved_names:
                # Documents of one revision would all be sent in one answer.
                revision = transaction.configuration_clock.tick()
            moved = replace(document, revision=revision, updated_at=now)
            transaction.configurations.put(new.server_id, moved)
            moved_names.append(summary.name)
    return moved_names, revision


def _named(server: Server) -> str:
    return f"server {server.server_id} ({server.name})"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
