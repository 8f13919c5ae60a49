from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from application.ports.store.store import Transaction
from domain.conflict import ConflictState
from domain.events import Event, EventKind
from domain.server import Server


def move_to_deleted(
    transaction: Transaction,
    servers: Sequence[Server],
    cause: str,
    now: datetime,
    retention: timedelta,
) -> None:
    """Delete locked servers, publish that, and keep them with their history until `retention` is
    over. With a retention of zero they are gone at once.
    """
    ids = [server.server_id for server in servers]
    transaction.outbox.add([Event(EventKind.DELETED, server_id, now, cause) for server_id in ids])
    for server in servers:
        _lapse_conflicts(transaction, server)
    if retention:
        transaction.deleted_servers.move_to_deleted(ids, now, now + retention, cause)
        return
    for server_id in ids:
        transaction.servers.remove(server_id)
    transaction.history.purge(ids)


def _lapse_conflicts(transaction: Transaction, server: Server) -> None:
    """End the open conflicts about its name: without a holder, nothing is left to resolve."""
    for conflict in transaction.conflicts.of_name(server.name):
        if conflict.is_unresolved and conflict.server_id == server.server_id:
            transaction.conflicts.save(replace(conflict, state=ConflictState.LAPSED))
