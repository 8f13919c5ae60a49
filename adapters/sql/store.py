import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine

from adapters.sql.audit import SqlAudit
from adapters.sql.bans import SqlBans
from adapters.sql.capability_reports import SqlCapabilityReports
from adapters.sql.configuration_clock import SqlConfigurationClock
from adapters.sql.configurations import SqlConfigurations
from adapters.sql.conflicts import SqlConflicts
from adapters.sql.deleted_servers import SqlDeletedServers
from adapters.sql.dry_run_refusals import SqlDryRunRefusals
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

_LOG_INTERVAL_SECONDS = 60.0

R = TypeVar("R")


class _Repository(Generic[R]):
    """Attribute of a transaction: a repository that is built when it is first read."""

    def __init__(self, build: Callable[[Connection], R]) -> None:
        self._build = build

    def __set_name__(self, owner: type[object], name: str) -> None:
        self._name = name

    def __get__(self, transaction: "SqlTransaction", owner: type[object]) -> R:
        repository = self._build(transaction.connection)
        # From now on the attribute hides this descriptor. functools.cached_property does the same,
        # but on Python 3.11 under a lock that all transactions share.
        transaction.__dict__[self._name] = repository
        return repository


class SqlTransaction:
    servers = _Repository(SqlServers)
    presences = _Repository(SqlPresences)
    capability_reports = _Repository(SqlCapabilityReports)
    configurations = _Repository(SqlConfigurations)
    selector_configurations = _Repository(SqlSelectorConfigurations)
    selector_changes = _Repository(SqlSelectorChanges)
    configuration_clock = _Repository(SqlConfigurationClock)
    outbox = _Repository(SqlOutbox)
    identities = _Repository(SqlIdentities)
    labels = _Repository(SqlServerLabels)
    conflicts = _Repository(SqlConflicts)
    bans = _Repository(SqlBans)
    deleted_servers = _Repository(SqlDeletedServers)
    history = _Repository(SqlHistory)
    dry_run_refusals = _Repository(SqlDryRunRefusals)
    operator_keys = _Repository(SqlOperatorKeys)
    join_keys = _Repository(SqlJoinKeys)
    signing_keys = _Repository(SqlSigningKeys)
    audit = _Repository(SqlAudit)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection


class SqlStore:
    """Transactions of PostgreSQL (read committed) or SQLite (one writer at a time)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # The time at which each problem was last logged.
        self._logged_at: dict[str, float] = {}

    @contextmanager
    def begin(self) -> Iterator[SqlTransaction]:
        try:
            with translate_errors(), self._engine.begin() as connection:
                yield SqlTransaction(connection)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, StoreProblem):
                self._log_problem(str(error.__cause__))
            raise

    def _log_problem(self, problem: str) -> None:
        """Once a minute while it lasts. Its end is not logged: transactions that only read may
        succeed meanwhile, so the end cannot be detected."""
        now = time.monotonic()
        if now - self._logged_at.get(problem, -math.inf) >= _LOG_INTERVAL_SECONDS:
            self._logged_at[problem] = now
            _log.warning("the store is not available: DATABASE_URL: %s", problem)
