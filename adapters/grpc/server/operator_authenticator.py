import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from adapters.grpc.server.key_refresher import KeyRefresher
from adapters.grpc.server.peer import address_of, certified_caller, network_of
from adapters.grpc.server.worker_pool import WorkerPool
from application.access.identify_operator import IdentifyOperator
from application.access.limit_calls import Caller, LimitCalls
from domain.errors import OperatorKeyRefused, OperatorKeyRequired, TooManyCalls
from domain.operator_key import Operator


@dataclass(frozen=True)
class OperatorAuthenticator:
    """Who makes an operators' call, by what gRPC tells of it.

    Who is not known is looked up in threads of others, so that operators never wait for those who
    guess keys.
    """

    operator_calls: WorkerPool
    stranger_calls: WorkerPool
    identify_operator: IdentifyOperator
    limit_calls: LimitCalls
    key_refresher: KeyRefresher

    async def identify(self, peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> Operator:
        """Raises TooManyCalls, and what IdentifyOperator raises.

        `peer` is as gRPC writes it: `ipv4:127.0.0.1:53412`.
        """
        given, address = bearer_token(metadata), address_of(peer)
        on_this_machine, certified_as = is_loopback(peer), certified_caller.get()
        try:
            caller = self.limit_calls.of_operator(
                given,
                network_of(address),
                on_this_machine=on_this_machine,
                certified_as=certified_as,
            )
            threads = self.stranger_calls if caller is Caller.NOTHING else self.operator_calls
            operator = await threads.run(
                self.identify_operator,
                given,
                address,
                on_this_machine=on_this_machine,
                certified_as=certified_as.key_id,
            )
        except (TooManyCalls, OperatorKeyRefused, OperatorKeyRequired):
            # There may be other keys by now.
            self.key_refresher.ask()
            raise
        if caller is Caller.NOTHING:
            self.limit_calls.key_cache.remember_token(given, operator.credential_id)
            self.key_refresher.ask()
        return operator


def bearer_token(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """None where nothing was sent; of anything else than a bearer token an empty one."""
    sent = next((value for name, value in metadata if name == "authorization"), None)
    if sent is None:
        return None
    text = sent.decode("latin-1") if isinstance(sent, bytes) else sent
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
