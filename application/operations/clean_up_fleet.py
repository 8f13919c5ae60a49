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
    """Delete what nobody needs any more, a batch of each kind at a time, and tell the log.

    Any number of processes may do it at once: what one has at hand the others pass over.
    Raises StoreUnavailable and StoreFailed; what was told is done then.
    """

    store: Store
    clock: Clock
    prune_servers: PruneServers
    # Whether this process can tell who is silent: who was deaf itself deletes nobody for it.
    can_expire: Callable[[], bool]
    # None: for ever.
    audit_is_kept_for: timedelta | None = None

    def __call__(self) -> bool:
        """Whether there may be more to do at once."""
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
            gone = sorted(transaction.deleted_servers.purge(self.clock.now(), _BATCH_SIZE))
            if gone:
                transaction.history.purge(gone)
        for server_id in gone:
            _log.info(
                "server %d is gone for good: the time in which to restore it is over", server_id
            )
        return len(gone) == _BATCH_SIZE

    def _purge_expired_records(self) -> None:
        with self.store.begin() as transaction:
            now = self.clock.now()
            lapsed = transaction.conflicts.lapse(now - _CONFLICTS_LAPSE_AFTER)
            transaction.conflicts.purge(now - _DECISION_RETENTION)
            transaction.dry_run_refusals.purge(now - _DECISION_RETENTION)
            if self.audit_is_kept_for:
                transaction.audit.purge(now - self.audit_is_kept_for)
        if lapsed:
            _log.info(
                "conflicts that lapsed, because nobody claimed the name for %s: %d",
                duration_in_words(_CONFLICTS_LAPSE_AFTER),
                lapsed,
            )
