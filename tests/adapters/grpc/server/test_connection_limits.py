"""Limits for connections to the API, as seen from a socket."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from dependency_injector import providers
from grpc_health.v1 import health_pb2, health_pb2_grpc

from adapters.grpc.messages.error_reasons import Reason, reason_of
from adapters.grpc.server.request_bodies import RequestBodies
from adapters.grpc.server.server import DEFAULT_LIMITS, ConnectionLimits
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.certificates import CertificateFiles
from tests.support.grpc_errors import refusal
from tests.support.http2 import (
    ACK,
    BEGINNING,
    DATA,
    END_STREAM,
    PREFACE,
    SETTINGS_ACK,
    call_headers,
    frame,
    message_prefix,
)
from tests.support.processes import eventually

HEARTBEAT = "/manman.v1.ManManAPI/Heartbeat"
# The limit in tests that wait for it. Honest clients must meet it on a busy machine, too.
SOON = 1.0
# Far longer than that, and shorter than the default limits.
TIMEOUT_SECONDS = 10


@dataclass
class Api:
    """An API in this process, and a registered host with its own connection."""

    port: int
    container: ApiContainer
    host: ManManAPIStub
    server_id: int

    def beats(self) -> bool:
        request = pb.HeartbeatRequest(server_id=self.server_id)
        return self.host.Heartbeat(request, timeout=TIMEOUT_SECONDS).acknowledged

    @contextmanager
    def connected(self, *sent: bytes) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS) as connection:
            connection.sendall(b"".join(sent))
            yield connection

    @contextmanager
    def stub(self) -> Iterator[ManManAPIStub]:
        """A client with its own connection."""
        with channel_to(self.port) as channel:
            yield ManManAPIStub(channel)


def channel_to(port: int, *options: tuple[str, Any]) -> grpc.Channel:
    alone = ("grpc.use_local_subchannel_pool", 1)
    return grpc.insecure_channel(f"127.0.0.1:{port}", (alone, *options))


@contextmanager
def running(
    limits: ConnectionLimits = DEFAULT_LIMITS,
    bodies: RequestBodies | None = None,
    **api_settings: Any,
) -> Iterator[Api]:
    container = ApiContainer(
        settings=ApiSettings(
            database_url=Secret(IN_MEMORY), listen_address="127.0.0.1:0", **api_settings
        )
    )
    if limits is not DEFAULT_LIMITS:
        container.connection_limits.override(providers.Object(limits))
    if bodies:
        container.request_bodies.override(providers.Object(bodies))
    with serving(container) as port, channel_to(port) as channel:
        host = ManManAPIStub(channel)
        server_id = host.RegisterServer(pb.RegisterServerRequest(name="honest")).server_id
        yield Api(port, container, host, server_id)
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


def is_closed(connection: socket.socket, within: float = TIMEOUT_SECONDS) -> bool:
    """Whether the API closes the connection, whatever it sends before."""
    return read_until(connection, None, within) is not None


def read_until(connection: socket.socket, wanted: bytes | None, within: float) -> bytes | None:
    """The bytes up to `wanted`, or to the end for None. None if they did not come in time."""
    received, until = b"", time.monotonic() + within
    while wanted is None or wanted not in received:
        connection.settimeout(max(0.001, until - time.monotonic()))
        try:
            part = connection.recv(65536)
        except TimeoutError:
            return None
        except ConnectionResetError:
            part = b""
        if not part:
            return received if wanted is None else None
        received += part
    return received


@pytest.mark.parametrize(
    "sent",
    [b"", PREFACE[:10], PREFACE, BEGINNING[:-4], b"\x16\x03\x01\x02\x00", BEGINNING],
    ids=[
        "nothing",
        "half a preface",
        "no settings",
        "half the settings",
        "TLS",
        "no acknowledgement",
    ],
)
def test_a_stalled_connection_is_closed_while_others_continue(sent: bytes) -> None:
    with (
        running(ConnectionLimits(handshake_seconds=SOON)) as api,
        api.connected(sent) as connection,
    ):
        assert api.beats()
        assert is_closed(connection)
        assert api.beats()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"], ids=["nothing", "half a hello"])
def test_a_stalled_tls_handshake_is_closed(tmp_path: Path, sent: bytes) -> None:
    files = CertificateFiles(tmp_path)
    files.issue()
    paths = {"tls_cert_path": files.certificate, "tls_key_path": files.key}
    with over_tls(files, ConnectionLimits(handshake_seconds=SOON), **paths) as (port, beat):
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
            connection.sendall(sent)
            assert beat()
            assert is_closed(connection)
        context = ssl.create_default_context(cafile=str(files.ca_file))
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname="127.0.0.1") as silent,
        ):
            assert is_closed(silent)
        assert beat()


@contextmanager
def over_tls(files: CertificateFiles, limits: ConnectionLimits, **paths: Any) -> Iterator[Any]:
    container = ApiContainer(
        settings=ApiSettings(database_url=Secret(IN_MEMORY), listen_address="127.0.0.1:0", **paths)
    )
    container.connection_limits.override(providers.Object(limits))
    with serving(container) as port:
        credentials = grpc.ssl_channel_credentials(files.ca_file.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
            host = ManManAPIStub(channel)
            server_id = host.RegisterServer(pb.RegisterServerRequest(name="web")).server_id
            request = pb.HeartbeatRequest(server_id=server_id)
            yield port, lambda: host.Heartbeat(request, timeout=TIMEOUT_SECONDS).acknowledged
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


def test_connections_above_the_limit_are_closed_and_the_others_continue() -> None:
    with running(max_connections=3) as api, ExitStack() as two:
        for _ in range(2):
            two.enter_context(api.connected(BEGINNING + SETTINGS_ACK))
        assert api.beats()
        eventually(lambda: refuses_one_more(api), "the limit to be reached")
        assert api.beats()

        two.close()
        eventually(lambda: not refuses_one_more(api), "room for another one")
        assert api.beats()


def test_the_limit_applies_to_all_servers_on_the_port_together() -> None:
    """From 1,000 connections on, several gRPC servers share the port and divide the limit."""
    most, more = 1000, 50
    with running(max_connections=most) as api, ExitStack() as stack:
        # The host has another one.
        connections = [
            stack.enter_context(api.connected(BEGINNING + SETTINGS_ACK)) for _ in range(most + more)
        ]

        eventually(
            lambda: sum(is_closed(one, within=0.001) for one in connections) > more,
            "the excess to be closed",
        )
        assert api.beats()


def refuses_one_more(api: Api) -> bool:
    with api.stub() as stub:
        try:
            stub.Heartbeat(pb.HeartbeatRequest(server_id=api.server_id), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as refused:
            error: Any = refused
            return bool(error.code() is grpc.StatusCode.UNAVAILABLE)
    return False


def test_silent_connections_are_closed_and_make_room_for_others() -> None:
    limits = ConnectionLimits(max_connections=3, handshake_seconds=SOON)
    with running(limits) as api, api.connected(), api.connected():
        eventually(lambda: not refuses_one_more(api), "room for another one")


def test_calls_above_the_limit_of_a_connection_wait_without_blocking_other_connections() -> None:
    watch = health_pb2.HealthCheckRequest()
    with (
        running(ConnectionLimits(max_calls_per_connection=2)) as api,
        channel_to(api.port) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        crowded = ManManAPIStub(channel)
        watches = [health.Watch(watch) for _ in range(2)]
        for each in watches:
            next(each)
        request = pb.HeartbeatRequest(server_id=api.server_id)
        waiting = crowded.Heartbeat.future(request, timeout=TIMEOUT_SECONDS)
        assert api.beats()
        assert not waiting.done()

        watches[0].cancel()
        assert waiting.result().acknowledged
        watches[1].cancel()


def test_a_client_that_ignores_the_limit_of_calls_gets_the_excess_refused() -> None:
    calls = b"".join(call_headers(stream, HEARTBEAT) for stream in range(1, 17, 2))
    with running(ConnectionLimits(max_calls_per_connection=4)) as api:
        with api.connected(BEGINNING) as connection:
            # The server sends its settings before it acknowledges ours.
            assert read_until(connection, SETTINGS_ACK, TIMEOUT_SECONDS)
            connection.sendall(SETTINGS_ACK + calls)
            refused = frame(3, 0, 15, struct.pack(">I", 7))

            assert read_until(connection, refused, TIMEOUT_SECONDS)
        assert api.beats()


@pytest.mark.parametrize(
    "body",
    [b"", frame(DATA, 0, 1, message_prefix(100)[:3]), frame(DATA, 0, 1, message_prefix(9) + b"x")],
    ids=["nothing of it", "half its length", "half of it"],
)
def test_a_call_with_an_incomplete_body_is_refused_and_its_connection_continues(
    body: bytes,
) -> None:
    bodies = RequestBodies(timeout_seconds=SOON)
    with (
        running(bodies=bodies) as api,
        api.connected(BEGINNING, SETTINGS_ACK, call_headers(1, HEARTBEAT), body) as connection,
    ):
        assert api.beats()
        refused = read_until(connection, b"did not arrive in time", TIMEOUT_SECONDS)
        # 4 is DEADLINE_EXCEEDED.
        assert refused
        assert b"grpc-status\x014" in refused
        assert api.beats()

        request = pb.HeartbeatRequest(server_id=api.server_id).SerializeToString()
        message = message_prefix(len(request)) + request
        connection.sendall(call_headers(3, HEARTBEAT) + frame(DATA, END_STREAM, 3, message))
        assert read_until(connection, b"grpc-status\x010", TIMEOUT_SECONDS)


def test_the_error_for_a_late_request_has_its_reason() -> None:
    never_sent = threading.Event()

    def late_requests() -> Iterator[bytes]:
        never_sent.wait()
        yield b""

    with (
        running(bodies=RequestBodies(timeout_seconds=SOON)) as api,
        channel_to(api.port) as channel,
    ):
        call: Any = channel.stream_unary(HEARTBEAT)
        error = refusal(lambda: call(late_requests()))
        never_sent.set()

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert reason_of(error) == Reason.REQUEST_TIMEOUT


def test_a_client_that_disconnects_during_the_body_causes_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bodies = RequestBodies()
    with running(bodies=bodies) as api:
        for _ in range(3):
            with api.connected(BEGINNING, SETTINGS_ACK, call_headers(1, HEARTBEAT)):
                eventually(lambda: bool(bodies._waiting), "the API to wait for the body")
            eventually(lambda: not bodies._waiting, "the API to stop waiting")
        assert api.beats()

    assert [record.getMessage() for record in caplog.records] == []


def test_a_call_that_ends_without_a_request_gets_an_error_that_says_so() -> None:
    with running() as api, api.connected(BEGINNING, SETTINGS_ACK) as connection:
        connection.sendall(call_headers(1, HEARTBEAT) + frame(DATA, END_STREAM, 1))

        assert read_until(connection, b"the request has no message", TIMEOUT_SECONDS)


def test_a_connection_that_does_not_answer_pings_is_closed_and_one_that_does_is_not() -> None:
    limits = ConnectionLimits(ping_after_seconds=SOON, ping_timeout_seconds=SOON)
    with running(limits) as api:
        with api.connected(BEGINNING, SETTINGS_ACK) as connection:
            assert is_closed(connection)
        with api.connected(BEGINNING, SETTINGS_ACK) as connection:
            # Three pings take longer than a silent client is tolerated.
            for _ in range(3):
                ping = read_until(connection, b"\x00\x00\x08\x06\x00", TIMEOUT_SECONDS)
                assert ping
                payload = ping.partition(b"\x00\x00\x08\x06\x00")[2][4:12]
                payload += connection.recv(8 - len(payload)) if len(payload) < 8 else b""
                connection.sendall(frame(6, ACK, 0, payload))
        assert api.beats()


def test_an_idle_connection_is_closed_and_a_host_reconnects() -> None:
    with running(ConnectionLimits(idle_seconds=SOON)) as api:
        with api.connected(BEGINNING, SETTINGS_ACK) as connection:
            assert is_closed(connection)

        assert api.beats()


def test_a_host_with_an_hourly_heartbeat_keeps_its_connection() -> None:
    longest_interval = 3600

    assert DEFAULT_LIMITS.idle_seconds > longest_interval


def test_a_client_that_never_reads_its_responses_is_disconnected() -> None:
    limits = ConnectionLimits(ping_after_seconds=SOON, ping_timeout_seconds=SOON)
    with running(limits, max_operator_calls_per_second=1_000_000) as api:
        for number in range(100):
            api.host.RegisterServer(pb.RegisterServerRequest(name=f"{number}{'x' * 240}"))
        request = pb.ListServersRequest(page_size=100).SerializeToString()
        message = message_prefix(len(request)) + request
        calls = [
            call_headers(stream, "/manman.v1.ManManAPI/ListServers")
            + frame(DATA, END_STREAM, stream, message)
            for stream in range(1, 2001, 2)
        ]
        # Wide flow-control windows: only the client's socket holds the responses up.
        wide = frame(4, 0, 0, struct.pack(">HI", 4, 2**31 - 1))
        wide += frame(8, 0, 0, struct.pack(">I", 2**30))
        with closing(socket.socket()) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", api.port))
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                connection.sendall(BEGINNING + wide + SETTINGS_ACK + b"".join(calls))
            assert api.beats()
            eventually(lambda: not is_held(api.port, connection), "the API to close the connection")
        assert api.beats()


def is_held(port: int, connection: socket.socket) -> bool:
    """Whether the API has the connection open, by the kernel's table of connections: number, local
    and remote address, state. The client's socket does not notice, because it has unread data."""
    ours = connection.getsockname()[1]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = (f":{port:04X}", f":{ours:04X}")
    return any((row[1][8:], row[2][8:], row[3]) == (*ends, "01") for row in rows)
