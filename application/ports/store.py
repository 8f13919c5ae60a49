from contextlib import AbstractContextManager
from typing import Protocol

from application.ports.audit import Audit
from application.ports.bans import Bans
from application.ports.capability_reports import CapabilityReports
from application.ports.configuration_clock import ConfigurationClock
from application.ports.configurations import Configurations
from application.ports.conflicts import Conflicts
from application.ports.deleted_servers import DeletedServers
from application.ports.history import History
from application.ports.identities import Identities
from application.ports.join_keys import JoinKeys
from application.ports.operator_keys import OperatorKeys
from application.ports.outbox import Outbox
from application.ports.presences import Presences
from application.ports.selector_changes import SelectorChanges
from application.ports.selector_configurations import SelectorConfigurations
from application.ports.server_labels import ServerLabels
from application.ports.servers import Servers
from application.ports.signing_keys import SigningKeys
from application.ports.would_rejects import WouldRejects


class StoreUnavailable(Exception):
    """The store is away, or two transactions were in each other's way: trying again makes sense."""

    def __init__(self) -> None:
        super().__init__("the store is not available, try again")


class StoreFailed(Exception):
    """The store refused: trying again makes no sense. The cause is chained and for the log only."""

    def __init__(self) -> None:
        super().__init__("the store failed")


class Transaction(Protocol):
    """What happens in it happens as a whole or not at all."""

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
    def would_rejects(self) -> WouldRejects: ...
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
        """A transaction that is durable once the block is left, and undone when it raises.

        Raises StoreUnavailable and StoreFailed, from every call within it too.
        """
        ...
