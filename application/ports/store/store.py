from contextlib import AbstractContextManager
from typing import Protocol

from application.ports.store.access.audit import Audit
from application.ports.store.access.join_keys import JoinKeys
from application.ports.store.access.operator_keys import OperatorKeys
from application.ports.store.access.signing_keys import SigningKeys
from application.ports.store.bans import Bans
from application.ports.store.capability_reports import CapabilityReports
from application.ports.store.configuration.configuration_clock import ConfigurationClock
from application.ports.store.configuration.configurations import Configurations
from application.ports.store.configuration.selector_changes import SelectorChanges
from application.ports.store.configuration.selector_configurations import SelectorConfigurations
from application.ports.store.conflicts import Conflicts
from application.ports.store.deleted_servers import DeletedServers
from application.ports.store.dry_run_refusals import DryRunRefusals
from application.ports.store.history import History
from application.ports.store.identities import Identities
from application.ports.store.outbox import Outbox
from application.ports.store.presences import Presences
from application.ports.store.server_labels import ServerLabels
from application.ports.store.servers import Servers


class StoreUnavailable(Exception):
    """The store cannot be reached, or two transactions collided. A retry may succeed."""

    def __init__(self) -> None:
        super().__init__("the store is not available, try again")


class StoreFailed(Exception):
    """The store failed, and a retry would fail too. The cause is chained, for the log only."""

    def __init__(self) -> None:
        super().__init__("the store failed")


class Transaction(Protocol):
    """Its changes are written completely or not at all."""

    @property
    def servers(self) -> Servers: ...
    @property
    def presences(self) -> Presences: ...
    @property
    def capability_reports(self) -> CapabilityReports: ...
    @property
    def configurations(self) -> Configurations: ...
    @property
    def selector_configurations(self) -> SelectorConfigurations: ...
    @property
    def selector_changes(self) -> SelectorChanges: ...
    @property
    def configuration_clock(self) -> ConfigurationClock: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def identities(self) -> Identities: ...
    @property
    def labels(self) -> ServerLabels: ...
    @property
    def conflicts(self) -> Conflicts: ...
    @property
    def bans(self) -> Bans: ...
    @property
    def deleted_servers(self) -> DeletedServers: ...
    @property
    def history(self) -> History: ...
    @property
    def dry_run_refusals(self) -> DryRunRefusals: ...
    @property
    def join_keys(self) -> JoinKeys: ...
    @property
    def signing_keys(self) -> SigningKeys: ...
    @property
    def operator_keys(self) -> OperatorKeys: ...
    @property
    def audit(self) -> Audit: ...


class Store(Protocol):
    def begin(self) -> AbstractContextManager[Transaction]:
        """A transaction that is durable once the block ends, and rolled back if the block raises.

        It, and every call within it, raises StoreUnavailable and StoreFailed.
        """
        ...
