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

# More than the handlers allow, so that most clients get the handlers' error and not gRPC's.
_MAX_RECEIVED_BYTES = 2 * 1024 * 1024
# gRPC's default is half of this. With that it refuses some calls with a long token, but not all.
_MAX_METADATA_BYTES = 16 * 1024

# While draining, calls that still arrive get an error that says so. After that gRPC cancels them
# without a message.
_DRAINING_ANSWERS_SECONDS = 0.3
# Time for the last answers to be sent. Streams that watch our health never end by themselves.
_STOP_GRACE_SECONDS = 0.5

# A gRPC server in Python asks for the next call when the last one has arrived. So it starts at most
# one call in each turn of the event loop, and several servers on one port start that many.
_SERVERS = 4
# The kernel distributes connections among them, but not evenly. A lower limit is not divided.
_MIN_DIVIDED_CONNECTIONS = 1000

_SERVED = (OVERALL_HEALTH, SERVICE.full_name)


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits for the connections to one port of this process.

    A host keeps one connection, which is idle between heartbeats. Heartbeats are at most an hour
    apart.
    """

    max_connections: int = 15_000
    # At the same time. A proxy carries the calls of many hosts over one connection. A client that
    # always makes as many as allowed gets some refused, because a call counts until its answer has
    # been sent.
    max_calls_per_connection: int = 1000
    # From the TCP connection until calls can be made.
    handshake_seconds: float = 10.0
    # A connection without calls is closed after this.
    idle_seconds: float = 2 * 3600.0
    # A client that sends nothing, with or without calls in progress, is pinged after this.
    ping_after_seconds: float = 120.0
    ping_timeout_seconds: float = 20.0


DEFAULT_LIMITS = ConnectionLimits()


class GrpcServer:
    """Serves the API, gRPC's health service and, if enabled, reflection.

    With `shared_port` several processes serve the same port: the supervisor reserves it, and the
    kernel distributes the connections. With a certificate the server accepts only TLS 1.2 and
    later, and each new connection gets the certificate that is current then. With a trust bundle a
    second address serves clients with a certificate from these CAs. It is a second one because
    gRPC for Python requires a client certificate from every client of an address, or from none.
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
        self._in_flight_calls = in_flight_calls
        self._shared_port = shared_port
        self._trust_bundle = trust_bundle
        self._certificate = certificate
        servers = _SERVERS if limits.max_connections >= _MIN_DIVIDED_CONNECTIONS else 1
        of_each = replace(limits, max_connections=limits.max_connections // servers)
        self._servers = [_server(interceptors, of_each) for _ in range(servers)]
        self._health = aio_health.HealthServicer()
        for server in self._servers:
            server.add_generic_rpc_handlers((handlers,))
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            if with_reflection:
                names = (*_SERVED[1:], "grpc.health.v1.Health", reflection.SERVICE_NAME)
                reflection.enable_server_reflection(names, server)

    async def start(self, address: str, mutual_tls_address: str = "") -> int:
        """Start to serve and return the port of the first address. Raises CannotListen."""
        certificate, bundle = self._certificate, self._trust_bundle
        port = self._listen(address, lambda: _credentials(certificate) if certificate else None)
        if certificate and bundle:
            self._listen(mutual_tls_address, lambda: _credentials(certificate, bundle))
        for server in self._servers:
            await server.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        return port

    def _listen(
        self, address: str, credentials: Callable[[], grpc.ServerCredentials | None]
    ) -> int:
        """Returns the port. For port 0 all servers use the one that the first of them gets."""
        host, _, port = address.rpartition(":")
        with ExitStack() as reservation:
            if not self._shared_port and int(port):
                reservation.enter_context(reserve_port(address))
            for server in self._servers:
                port = str(_bind(server, f"{host}:{port}", credentials()))
        return int(port)

    async def drain(self, grace_seconds: float) -> None:
        """Report NOT_SERVING, accept no more calls, and wait for those in flight."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._in_flight_calls.close(grace_seconds)
        await asyncio.sleep(min(grace_seconds, _DRAINING_ANSWERS_SECONDS))
        await asyncio.gather(*(server.stop(_STOP_GRACE_SECONDS) for server in self._servers))

    async def _set_health(self, status: int) -> None:
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
            # With the default limits some hosts are refused when a whole fleet connects at once.
            ("grpc.server.max_pending_requests", 20_000),
            ("grpc.server.max_pending_requests_hard_limit", 30_000),
            # Clients may ping idle connections to detect a dead network.
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
    yield "grpc.max_allowed_incoming_connections", limits.max_connections
    yield "grpc.max_concurrent_streams", limits.max_calls_per_connection
    yield "grpc.server_handshake_timeout_ms", _milliseconds(limits.handshake_seconds)
    yield "grpc.http2.settings_timeout", _milliseconds(limits.handshake_seconds)
    yield "grpc.max_connection_idle_ms", _milliseconds(limits.idle_seconds)
    yield "grpc.keepalive_time_ms", _milliseconds(limits.ping_after_seconds)
    yield "grpc.keepalive_timeout_ms", _milliseconds(limits.ping_timeout_seconds)
    # Measured with gRPC 1.85: this option is the effective one, and its default is a minute.
    yield "grpc.http2.ping_timeout_ms", _milliseconds(limits.ping_timeout_seconds)
    yield "grpc.max_metadata_size", _MAX_METADATA_BYTES
    yield "grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES


def _milliseconds(seconds: float) -> int:
    return int(1000 * seconds)


def _credentials(certificate: ServerCertificate, trust_bundle: str = "") -> grpc.ServerCredentials:
    """With a trust bundle clients need a certificate, too."""
    configured = certificate.current

    def new_configuration() -> grpc.ServerCertificateConfiguration | None:
        # gRPC calls this for each new connection, never for two at the same time.
        nonlocal configured
        if certificate.current is configured:
            return None
        configured = certificate.current
        return _configuration(configured, trust_bundle)

    # None means unchanged, which gRPC's published types leave out.
    return grpc.dynamic_ssl_server_credentials(
        _configuration(configured, trust_bundle),
        new_configuration,  # type: ignore[arg-type]
        require_client_authentication=bool(trust_bundle),
    )


def _configuration(pair: CertifiedKey, trust_bundle: str) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pair.key, pair.chain)], trust_bundle.encode() or None
    )
