from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.store.store import Store
from application.removal.move_to_deleted import move_to_deleted
from domain.retention import DEFAULT_RETENTION, Retention, duration_in_words
from domain.server import Server

_BATCH_SIZE = 100


@dataclass(frozen=True, slots=True)
class PrunedBatch:
    """At most a hundred servers, by server_id, and whether there are more to prune."""

    servers: Sequence[Server]
    more: bool


@dataclass(frozen=True)
class PruneServers:
    """Delete ephemeral servers that have been offline for too long, as DeleteServer does."""

    store: Store
    clock: Clock
    retention: Retention = DEFAULT_RETENTION

    def __call__(self, *, dry_run: bool = False) -> PrunedBatch:
        """Delete one batch in one transaction. With `dry_run`, only find it."""
        with self.store.begin() as transaction:
            now = self.clock.now()
            found = transaction.servers.prunable(now - self.retention.ephemeral, _BATCH_SIZE + 1)
            servers = found[:_BATCH_SIZE]
            if servers and not dry_run:
                move_to_deleted(transaction, servers, self.cause, now, self.retention.deleted)
        return PrunedBatch(servers, more=len(found) > _BATCH_SIZE)

    @property
    def cause(self) -> str:
        return (
            f"ephemeral, and offline for longer than {duration_in_words(self.retention.ephemeral)}"
        )
