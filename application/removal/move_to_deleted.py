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
    """Delete servers, which are locked: told of, and kept for as long as they can be restored.

    What happened to them is kept as long as they are.
    """
    ids = [server.server_id for server in servers]
    transaction.outbox.add([Event(EventKind.DELETED, server_id, now, cause) for server_id in ids])
    for server in servers:
        _let_conflicts_lapse(transaction, server)
    if retention:
        transaction.deleted_servers.move_to_deleted(ids, now, now + retention, cause)
        return
    for server_id in ids:
        transaction.servers.remove(server_id)
    transaction.history.purge(ids)


def _let_conflicts_lapse(transaction: Transaction, server: Server) -> None:
    """There is no holder any more against whom they could be settled."""
    for conflict in transaction.conflicts.of_name(server.name):
        if conflict.is_unresolved and conflict.server_id == server.server_id:
            transaction.conflicts.save(replace(conflict, state=ConflictState.LAPSED))
