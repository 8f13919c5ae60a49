import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from adapters.sql.audit import SqlAudit
from adapters.sql.bans import SqlBans
from adapters.sql.capability_reports import SqlCapabilityReports
from adapters.sql.configuration_clock import SqlConfigurationClock
from adapters.sql.configurations import SqlConfigurations
from adapters.sql.conflicts import SqlConflicts
from adapters.sql.deleted_servers import SqlDeletedServers
from adapters.sql.dry_run_refusals import SqlWouldRejects
from adapters.sql.errors import StoreProblem, translate_errors
from adapters.sql.history import SqlHistory
from adapters.sql.identities import SqlIdentities
from adapters.sql.join_keys import SqlJoinKeys
from adapters.sql.operator_keys import SqlOperatorKeys
from adapters.sql.outbox import SqlOutbox
from adapters.sql.presences import SqlPresences
from adapters.sql.selector_changes import SqlSelectorChanges
from adapters.sql.selector_configurations import SqlSelectorConfigurations
from adapters.sql.server_labels import SqlServerLabels
from adapters.sql.servers import SqlServers
from adapters.sql.signing_keys import SqlSigningKeys
from application.ports.store.store import StoreUnavailable

_log = logging.getLogger(__name__)

_TOLD_AGAIN_AFTER_SECONDS = 60.0


class SqlTransaction:
    def __init__(self, connection: Connection) -> None:
        self.servers = SqlServers(connection)
        self.presences = SqlPresences(connection)
        self.capability_reports = SqlCapabilityReports(connection)
        self.configurations = SqlConfigurations(connection)
        self.selector_configurations = SqlSelectorConfigurations(connection)
        self.selector_changes = SqlSelectorChanges(connection)
        self.configuration_clock = SqlConfigurationClock(connection)
        self.outbox = SqlOutbox(connection)
        self.identities = SqlIdentities(connection)
        self.labels = SqlServerLabels(connection)
        self.conflicts = SqlConflicts(connection)
        self.bans = SqlBans(connection)
        self.deleted_servers = SqlDeletedServers(connection)
        self.history = SqlHistory(connection)
        self.would_rejects = SqlWouldRejects(connection)
        self.operator_keys = SqlOperatorKeys(connection)
        self.join_keys = SqlJoinKeys(connection)
        self.signing_keys = SqlSigningKeys(connection)
        self.audit = SqlAudit(connection)


class SqlStore:
    """Transactions of PostgreSQL (read committed) or SQLite (one writer at a time)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # When each was told last.
        self._needs: dict[str, float] = {}

    @contextmanager
    def begin(self) -> Iterator[SqlTransaction]:
        try:
            with translate_errors(), self._engine.begin() as connection:
                yield SqlTransaction(connection)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, StoreProblem):
                self._tell(str(error.__cause__))
            raise

    def _tell(self, need: str) -> None:
        """Once a minute: transactions that only read may succeed in between, so nobody can tell
        when it is over."""
        now = time.monotonic()
        if now - self._needs.get(need, -math.inf) >= _TOLD_AGAIN_AFTER_SECONDS:
            self._needs[need] = now
            _log.warning("the store is not available: DATABASE_URL: %s", need)
