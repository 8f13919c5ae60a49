import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from adapters.grpc.caller import address_of, certified_caller
from adapters.grpc.worker_pool import WorkerPool
from application.identify_operator import IdentifyOperator
from domain.operator_key import Operator


@dataclass(frozen=True)
class OperatorAccess:
    """Who makes an operators' call, by what gRPC tells of it."""

    operator_calls: WorkerPool
    identify_operator: IdentifyOperator

    async def identify(self, peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> Operator:
        """Raises what IdentifyOperator raises.

        `peer` is as gRPC writes it: `ipv4:127.0.0.1:53412`.
        """
        return await self.operator_calls.run(
            self.identify_operator,
            bearer_token(metadata),
            address_of(peer),
            on_this_machine=is_loopback(peer),
            certified_as=certified_caller.get().key_id,
        )


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
