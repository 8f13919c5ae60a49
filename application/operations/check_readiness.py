from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from application.ports.store.store import Store, StoreFailed, StoreUnavailable
from domain.errors import ServerNotFound


@dataclass(frozen=True)
class PingStore:
    """Ask the cheapest question that there is. Raises StoreUnavailable and StoreFailed."""

    store: Store

    def __call__(self) -> None:
        # About nobody: what newer versions have written must not matter.
        with self.store.begin() as transaction, suppress(ServerNotFound):
            transaction.servers.get(0)


@dataclass(frozen=True)
class CheckReadiness:
    """Why an API cannot do its work now, a sentence each; nothing when it can.

    A message broker that is away is no reason: hosts and operators are served without it.
    `ping_store` raises StoreUnavailable and StoreFailed, `serves` tells whether calls are taken;
    both within a few seconds.
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
