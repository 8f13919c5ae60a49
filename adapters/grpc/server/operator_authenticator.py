import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from adapters.grpc.server.key_refresher import KeyRefresher
from adapters.grpc.server.peer import address_of, certified_caller, network_of
from adapters.grpc.server.worker_pool import WorkerPool
from application.access.identify_operator import IdentifyOperator
from application.access.limit_calls import CallerKind, LimitCalls
from domain.errors import OperatorKeyRefused, OperatorKeyRequired, TooManyCalls
from domain.operator_key import Operator


@dataclass(frozen=True)
class OperatorAuthenticator:
    """Finds out which operator makes a call.

    Callers with an unknown key are looked up on other threads, so that operators never wait for
    callers that guess keys.
    """

    operator_calls: WorkerPool
    unauthenticated_calls: WorkerPool
    identify_operator: IdentifyOperator
    limit_calls: LimitCalls
    key_refresher: KeyRefresher

    async def identify(self, peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> Operator:
        """Raises TooManyCalls, and what IdentifyOperator raises.

        `peer` is in gRPC's notation: `ipv4:127.0.0.1:53412`.
        """
        token, address = bearer_token(metadata), address_of(peer)
        on_this_machine, certified_as = is_loopback(peer), certified_caller.get()
        try:
            caller = self.limit_calls.of_operator(
                token,
                network_of(address),
                on_this_machine=on_this_machine,
                certified_as=certified_as,
            )
            threads = (
                self.unauthenticated_calls
                if caller is CallerKind.UNAUTHENTICATED
                else self.operator_calls
            )
            operator = await threads.run(
                self.identify_operator,
                token,
                address,
                on_this_machine=on_this_machine,
                certified_as=certified_as.key_id,
            )
        except (TooManyCalls, OperatorKeyRefused, OperatorKeyRequired):
            # The caller's key may be newer than the key cache.
            self.key_refresher.request()
            raise
        if caller is CallerKind.UNAUTHENTICATED:
            self.limit_calls.key_cache.remember_token(token, operator.credential_id)
            self.key_refresher.request()
        return operator


def bearer_token(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """None without the metadata, empty if it is not a bearer token."""
    value = next((each for name, each in metadata if name == "authorization"), None)
    if value is None:
        return None
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    scheme, _, token = text.partition(" ")
    # The scheme's case does not matter (RFC 9110, 11.1).
    return token if scheme.lower() == "bearer" else ""


def is_loopback(peer: str) -> bool:
    if peer.startswith("unix:"):
        return True
    try:
        ip = ipaddress.ip_address(address_of(peer))
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback
