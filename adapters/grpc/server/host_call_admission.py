from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from adapters.grpc.server.key_refresher import KeyRefresher
from adapters.grpc.server.peer import caller_address, certified_caller, network_of
from adapters.grpc.server.worker_pool import WorkerPool
from application.access.limit_calls import CallerKind, LimitCalls
from domain.errors import TooManyCalls

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class HostCallAdmission:
    """Limits the calls of hosts other than heartbeats, and runs them on threads.

    Calls with a server's credential have threads of their own, so that registered hosts are served
    while many new ones join.
    """

    with_credential: WorkerPool
    with_key: WorkerPool
    limit_calls: LimitCalls
    key_refresher: KeyRefresher

    async def run(
        self,
        registration_key: str,
        credential: str,
        call: Callable[P, T],
        *arguments: P.args,
        **options: P.kwargs,
    ) -> T:
        """Raises TooManyCalls, TooBusy, and what the call raises."""
        network, certified_as = network_of(caller_address.get()), certified_caller.get()
        try:
            caller = self.limit_calls.of_host(registration_key, credential, network, certified_as)
        except TooManyCalls:
            # Its key may be newer than the key cache.
            self.key_refresher.request()
            raise
        if caller is CallerKind.UNAUTHENTICATED:
            self.key_refresher.request()
        pool = self.with_credential if caller is CallerKind.CREDENTIAL else self.with_key
        return await pool.run(call, *arguments, **options)

    def close(self) -> None:
        for pool in (self.with_credential, self.with_key):
            pool.close()
