from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.ports.clock import Clock
from application.ports.store.servers import ServerFilter
from application.ports.store.store import Store
from domain.approval import Approval
from domain.labels import Selector
from domain.liveness import Status
from domain.naming import check_environment
from domain.paging import split_page
from domain.server import Server


@dataclass(frozen=True, slots=True)
class ServerPage:
    """`next_after` is where the next page begins, None on the last page."""

    servers: Sequence[Server]
    next_after: int | None


@dataclass(frozen=True)
class ListServers:
    """The servers that match, a page at a time, by server_id. Raises InvalidField."""

    store: Store
    clock: Clock

    def __call__(
        self,
        *,
        size: int,
        after: int = 0,
        environment: str | None = None,
        status: Status | None = None,
        not_seen_for: timedelta | None = None,
        approval: Approval | None = None,
        selector: Selector | None = None,
    ) -> ServerPage:
        if environment is not None:
            check_environment(environment)
        not_seen_since = self.clock.now() - not_seen_for if not_seen_for else None
        with self.store.begin() as transaction:
            matching = ServerFilter(environment, status, not_seen_since, approval, selector)
            rows = transaction.servers.page(matching, after, size + 1)
        servers, next_after = split_page(rows, size, lambda server: server.server_id)
        return ServerPage(servers, next_after)
