import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import OVERALL_HEALTH
from grpc_health.v1.health import aio as aio_health
from grpc_reflection.v1alpha import reflection

from adapters.grpc.server.in_flight_calls import InFlightCalls
from adapters.grpc.server.permissions import SERVICE
from adapters.grpc.server.port_reservation import CannotListen, reserve_port
from adapters.grpc.server.server_certificate import CertifiedKey, ServerCertificate

# Above what the handlers allow, so that a client mostly reads their words and not gRPC's.
_MAX_RECEIVED_BYTES = 2 * 1024 * 1024
# At the default of half as much gRPC refuses some calls with a long token, and not others.
_MAX_METADATA_BYTES = 16 * 1024

# Calls that are on their way are still refused in words, before gRPC cancels them without any.
_REFUSE_IN_WORDS_SECONDS = 0.3
# What has been answered is still on its way out; who watches our health never ends by itself.
_LAST_ANSWERS_SECONDS = 0.5

# A server of gRPC for Python asks for the next call when it has heard of the last one: at most one
# begins with each turn of the event loop. Several on the same port begin as many.
_SERVERS = 4
# The kernel spreads connections among them, and not quite evenly: fewer are not divided.
_DIVIDED_CONNECTIONS = 1000

_SERVED = (OVERALL_HEALTH, SERVICE.full_name)


@dataclass(frozen=True)
class ConnectionLimits:
    """What connections to a port of this process may take, and for how long; seconds.

    A host has one connection that is idle between heartbeats, which are an hour apart at most.
    """

    most_connections: int = 15_000
    # At once over one connection: a proxy carries those of many hosts. A client that makes as many
    # as it may is refused some, since one counts until its answer has gone out.
    most_calls: int = 1000
    # From its beginning until it is one that calls can be made over.
    handshake: float = 10.0
    # Without any call.
    idle: float = 2 * 3600.0
    # Without a word, calls or none, before it is asked whether it is still there.
    silent: float = 120.0
    answers_within: float = 20.0


DEFAULT_LIMITS = ConnectionLimits()


class GrpcServer:
    """The API on its address, with gRPC's health service, and reflection when asked for.

    With `shared_port`, several processes serve the same port, which somebody holds for them, and
    the kernel spreads connections over them. With a certificate it speaks TLS alone, 1.2 and up,
    and a new connection is shown the certificate that is the current one then. With a trust bundle
    it also serves, at an address of their own, those who show a certificate that these CAs issued:
    gRPC for Python asks for one of everybody at an address, or of nobody.
    """

    def __init__(
        self,
        handlers: grpc.GenericRpcHandler,
        in_flight_calls: InFlightCalls,
        *,
        shared_port: bool = False,
        with_reflection: bool = False,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        certificate: ServerCertificate | None = None,
        trust_bundle: str = "",
        limits: ConnectionLimits = DEFAULT_LIMITS,
    ) -> None:
        self._gate = in_flight_calls
        self._shared_port = shared_port
        self._trust_bundle = trust_bundle
        self._certificate = certificate
        servers = _SERVERS if limits.most_connections >= _DIVIDED_CONNECTIONS else 1
        of_each = replace(limits, most_connections=limits.most_connections // servers)
        self._servers = [_server(interceptors, of_each) for _ in range(servers)]
        self._health = aio_health.HealthServicer()
        for server in self._servers:
            server.add_generic_rpc_handlers((handlers,))
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            if with_reflection:
                names = (*_SERVED[1:], "grpc.health.v1.Health", reflection.SERVICE_NAME)
                reflection.enable_server_reflection(names, server)

    async def start(self, address: str, mutual_tls_address: str = "") -> int:
        """Serve; returns the port of the first address. Raises CannotListen."""
        certificate, bundle = self._certificate, self._trust_bundle
        port = self._listen(address, lambda: _credentials(certificate) if certificate else None)
        if certificate and bundle:
            self._listen(mutual_tls_address, lambda: _credentials(certificate, bundle))
        for server in self._servers:
            await server.start()
        await self._say(health_pb2.HealthCheckResponse.SERVING)
        return port

    def _listen(
        self, address: str, credentials: Callable[[], grpc.ServerCredentials | None]
    ) -> int:
        """Returns the port: of 0 the one that the first of the servers gets."""
        host, _, port = address.rpartition(":")
        with ExitStack() as until_all_have_it:
            if not self._shared_port and int(port):
                until_all_have_it.enter_context(reserve_port(address))
            for server in self._servers:
                port = str(_bind(server, f"{host}:{port}", credentials()))
        return int(port)

    async def drain(self, grace_seconds: float) -> None:
        """Say NOT_SERVING, take no more calls, and let those in flight finish."""
        await self._say(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._gate.close(grace_seconds)
        await asyncio.sleep(min(grace_seconds, _REFUSE_IN_WORDS_SECONDS))
        await asyncio.gather(*(server.stop(_LAST_ANSWERS_SECONDS) for server in self._servers))

    async def _say(self, status: int) -> None:
        for service in _SERVED:
            await self._health.set(service, status)


def _server(
    interceptors: Sequence[grpc.aio.ServerInterceptor], limits: ConnectionLimits
) -> grpc.aio.Server:
    return grpc.aio.server(
        interceptors=interceptors,
        options=[
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", _MAX_RECEIVED_BYTES),
            # At the default limits a fleet that connects at once is refused in part.
            ("grpc.server.max_pending_requests", 20_000),
            ("grpc.server.max_pending_requests_hard_limit", 30_000),
            # Clients may ping idle connections to notice a dead network.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            *_options(limits),
        ],
    )


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError:
        raise CannotListen(address) from None


def _options(limits: ConnectionLimits) -> Iterator[tuple[str, int]]:
    yield "grpc.max_allowed_incoming_connections", limits.most_connections
    yield "grpc.max_concurrent_streams", limits.most_calls
    yield "grpc.server_handshake_timeout_ms", _milliseconds(limits.handshake)
    yield "grpc.http2.settings_timeout", _milliseconds(limits.handshake)
    yield "grpc.max_connection_idle_ms", _milliseconds(limits.idle)
    yield "grpc.keepalive_time_ms", _milliseconds(limits.silent)
    yield "grpc.keepalive_timeout_ms", _milliseconds(limits.answers_within)
    # Measured with gRPC 1.85: this one counts, and has a minute by default.
    yield "grpc.http2.ping_timeout_ms", _milliseconds(limits.answers_within)
    yield "grpc.max_metadata_size", _MAX_METADATA_BYTES
    yield "grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES


def _milliseconds(seconds: float) -> int:
    return int(1000 * seconds)


def _credentials(certificate: ServerCertificate, trust_bundle: str = "") -> grpc.ServerCredentials:
    """With a trust bundle clients must show a certificate, too."""
    shown = certificate.current

    def changed() -> grpc.ServerCertificateConfiguration | None:
        # gRPC asks at each new connection, of one after the other.
        nonlocal shown
        if certificate.current is shown:
            return None
        shown = certificate.current
        return _configuration(shown, trust_bundle)

    # The types that are published for gRPC forget that None is an answer.
    return grpc.dynamic_ssl_server_credentials(
        _configuration(shown, trust_bundle),
        changed,  # type: ignore[arg-type]
        require_client_authentication=bool(trust_bundle),
    )


def _configuration(shown: CertifiedKey, trust_bundle: str) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(shown.key, shown.chain)], trust_bundle.encode() or None
    )
