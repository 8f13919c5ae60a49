import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from application.ports.clock import Clock
from application.ports.store.store import Store
from application.removal.prune_servers import PruneServers
from domain.retention import duration_in_words

_log = logging.getLogger(__name__)

_BATCH_SIZE = 100
_CONFLICTS_LAPSE_AFTER = timedelta(hours=24)
_DECISION_RETENTION = timedelta(days=30)


@dataclass(frozen=True)
class CleanUpFleet:
    """Delete records that have expired, a batch of each kind at a time, and log it.

    Any number of processes may do this at once: each skips what another one has locked. Raises
    StoreUnavailable and StoreFailed; everything logged before that is done.
    """

    store: Store
    clock: Clock
    prune_servers: PruneServers
    # Whether this process can tell which hosts are silent. One that received no heartbeats itself
    # deletes no server for its silence.
    can_expire: Callable[[], bool]
    # None keeps audit entries forever.
    audit_retention: timedelta | None = None

    def __call__(self) -> bool:
        """Returns whether there may be more to do immediately."""
        more = [self._prune() if self.can_expire() else False, self._purge()]
        self._purge_expired_records()
        return any(more)

    def _prune(self) -> bool:
        pruned = self.prune_servers()
        for server in pruned.servers:
            _log.info(
                "server %d (%s) is deleted: %s",
                server.server_id,
                server.name,
                self.prune_servers.cause,
            )
        return pruned.more

    def _purge(self) -> bool:
        with self.store.begin() as transaction:
            purged = sorted(transaction.deleted_servers.purge(self.clock.now(), _BATCH_SIZE))
            if purged:
                transaction.history.purge(purged)
        for server_id in purged:
            _log.info("server %d is deleted for good: it can no longer be restored", server_id)
        return len(purged) == _BATCH_SIZE

    def _purge_expired_records(self) -> None:
        with self.store.begin() as transaction:
            now = self.clock.now()
            lapsed = transaction.conflicts.lapse(now - _CONFLICTS_LAPSE_AFTER)
            transaction.conflicts.purge(now - _DECISION_RETENTION)
            transaction.dry_run_refusals.purge(now - _DECISION_RETENTION)
            if self.audit_retention:
                transaction.audit.purge(now - self.audit_retention)
        if lapsed:
            _log.info(
                "conflicts that lapsed because no machine claimed the name for %s: %d",
                duration_in_words(_CONFLICTS_LAPSE_AFTER),
                lapsed,
            )
