from contextlib import AbstractContextManager
from typing import Protocol

from application.ports.capability_reports import CapabilityReports
from application.ports.configurations import Configurations
from application.ports.outbox import Outbox
from application.ports.presences import Presences
from application.ports.servers import Servers


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
    def outbox(self) -> Outbox: ...


class Store(Protocol):
    def begin(self) -> AbstractContextManager[Transaction]:
        """A transaction that is durable once the block is left, and undone when it raises.

        Raises StoreUnavailable and StoreFailed, from every call within it too.
        """
        ...
