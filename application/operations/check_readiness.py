from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from application.ports.store.store import Store, StoreFailed, StoreUnavailable
from domain.errors import ServerNotFound


@dataclass(frozen=True)
class PingStore:
    """Make the cheapest possible query. Raises StoreUnavailable and StoreFailed."""

    store: Store

    def __call__(self) -> None:
        # For an id that never exists, so that rows written by newer versions cannot matter.
        with self.store.begin() as transaction, suppress(ServerNotFound):
            transaction.servers.get(0)


@dataclass(frozen=True)
class CheckReadiness:
    """The reasons why an API is not ready, one sentence each; empty if it is ready.

    An unavailable message broker is no reason: hosts and operators are served without it.
    `ping_store` raises StoreUnavailable and StoreFailed; `serves` returns whether calls are taken.
    Both take at most a few seconds.
    """

    serves: Callable[[], bool]
    ping_store: Callable[[], object]

    def __call__(self) -> Sequence[str]:
        reasons = []
        if not self.serves():
            reasons.append("the API does not take calls: it is starting or stopping")
        try:
            self.ping_store()
        except (StoreUnavailable, StoreFailed):
            reasons.append("the store does not answer: see the log, and check DATABASE_URL")
        return reasons
