"""What connections may take of an API, and for how long, seen from a socket."""

import contextlib
import socket
import ssl
import struct
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

from adapters.grpc.server.request_bodies import RequestBodies
from adapters.grpc.server.server import DEFAULT_LIMITS, ConnectionLimits
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.certificates import CertificateFiles
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
# For what is to be cut in a moment.
SOON = 0.3
# Far longer than that, and shorter than what is not to be cut.
PATIENCE_SECONDS = 10


@dataclass
class Api:
    """One in this process, and a host of it with a connection of its own."""

    port: int
    container: ApiContainer
    host: ManManAPIStub
    server_id: int

    def beats(self) -> bool:
        request = pb.HeartbeatRequest(server_id=self.server_id)
        return self.host.Heartbeat(request, timeout=PATIENCE_SECONDS).acknowledged

    @contextmanager
    def connected(self, *sent: bytes) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as connection:
            connection.sendall(b"".join(sent))
            yield connection

    @contextmanager
    def stub(self) -> Iterator[ManManAPIStub]:
        """Over a connection of its own."""
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


def is_closed(connection: socket.socket, within: float = PATIENCE_SECONDS) -> bool:
    """Whether the other side closes it, whatever it says before."""
    return read_until(connection, None, within) is not None


def read_until(connection: socket.socket, wanted: bytes | None, within: float) -> bytes | None:
    """What was said until that came, or until the end for None; None when it did not come."""
    said, until = b"", time.monotonic() + within
    while wanted is None or wanted not in said:
        connection.settimeout(max(0.001, until - time.monotonic()))
        try:
            part = connection.recv(65536)
        except TimeoutError:
            return None
        except ConnectionResetError:
            part = b""
        if not part:
            return said if wanted is None else None
        said += part
    return said


@pytest.mark.parametrize(
    "sent",
    [b"", PREFACE[:10], PREFACE, BEGINNING[:-4], b"\x16\x03\x01\x02\x00", BEGINNING],
    ids=["nothing", "half a preface", "no settings", "half of them", "TLS", "no word on ours"],
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
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
            connection.sendall(sent)
            assert beat()
            assert is_closed(connection)
        context = ssl.create_default_context(cafile=str(files.ca_file))
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection,
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
            yield port, lambda: host.Heartbeat(request, timeout=PATIENCE_SECONDS).acknowledged
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


def test_connections_above_the_limit_are_closed_and_the_others_continue() -> None:
    with running(max_connections=3) as api, ExitStack() as two:
        for _ in range(2):
            two.enter_context(api.connected(BEGINNING + SETTINGS_ACK))
        assert api.beats()
        eventually(lambda: refuses_one_more(api), "there is no room")
        assert api.beats()

        two.close()
        eventually(lambda: not refuses_one_more(api), "there is room again")
        assert api.beats()


def test_the_limit_applies_to_all_servers_on_the_port_together() -> None:
    """From 1,000 connections on several of gRPC's servers divide them."""
    most, more = 1000, 50
    with running(max_connections=most) as api, ExitStack() as stack:
        # And the one that the host has.
        connections = [
            stack.enter_context(api.connected(BEGINNING + SETTINGS_ACK)) for _ in range(most + more)
        ]

        eventually(
            lambda: sum(is_closed(one, within=0.001) for one in connections) > more,
            "all are closed",
        )
        assert api.beats()


def refuses_one_more(api: Api) -> bool:
    with api.stub() as stub:
        try:
            stub.Heartbeat(pb.HeartbeatRequest(server_id=api.server_id), timeout=PATIENCE_SECONDS)
        except grpc.RpcError as refused:
            error: Any = refused
            return bool(error.code() is grpc.StatusCode.UNAVAILABLE)
    return False


def test_silent_connections_are_closed_and_make_room_for_others() -> None:
    limits = ConnectionLimits(max_connections=3, handshake_seconds=SOON)
    with running(limits) as api, api.connected(), api.connected():
        eventually(lambda: not refuses_one_more(api), "there is room for one more")


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
        waiting = crowded.Heartbeat.future(request, timeout=PATIENCE_SECONDS)
        assert api.beats()
        assert not waiting.done()

        watches[0].cancel()
        assert waiting.result().acknowledged
        watches[1].cancel()


def test_a_client_that_ignores_the_limit_of_calls_gets_the_excess_refused() -> None:
    calls = b"".join(call_headers(stream, HEARTBEAT) for stream in range(1, 17, 2))
    with running(ConnectionLimits(max_calls_per_connection=4)) as api:
        with api.connected(BEGINNING) as connection:
            # The server's settings are there before its word on ours.
            assert read_until(connection, SETTINGS_ACK, PATIENCE_SECONDS)
            connection.sendall(SETTINGS_ACK + calls)
            refused = frame(3, 0, 15, struct.pack(">I", 7))

            assert read_until(connection, refused, PATIENCE_SECONDS)
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
        refused = read_until(connection, b"did not arrive in time", PATIENCE_SECONDS)
        # 4 is DEADLINE_EXCEEDED.
        assert refused
        assert b"grpc-status\x014" in refused
        assert api.beats()

        request = pb.HeartbeatRequest(server_id=api.server_id).SerializeToString()
        message = message_prefix(len(request)) + request
        connection.sendall(call_headers(3, HEARTBEAT) + frame(DATA, END_STREAM, 3, message))
        assert read_until(connection, b"grpc-status\x010", PATIENCE_SECONDS)


def test_a_client_that_disconnects_during_the_body_causes_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bodies = RequestBodies()
    with running(bodies=bodies) as api:
        for _ in range(3):
            with api.connected(BEGINNING, SETTINGS_ACK, call_headers(1, HEARTBEAT)):
                eventually(lambda: bool(bodies._waiting), "it waits for the body")
            eventually(lambda: not bodies._waiting, "it waits no more")
        assert api.beats()

    assert [record.getMessage() for record in caplog.records] == []


def test_a_call_that_ends_without_a_request_gets_an_error_that_says_so() -> None:
    with running() as api, api.connected(BEGINNING, SETTINGS_ACK) as connection:
        connection.sendall(call_headers(1, HEARTBEAT) + frame(DATA, END_STREAM, 1))

        assert read_until(connection, b"the request has no message", PATIENCE_SECONDS)


def test_a_connection_that_does_not_answer_pings_is_closed_and_one_that_does_is_not() -> None:
    limits = ConnectionLimits(ping_after_seconds=SOON, ping_timeout_seconds=SOON)
    with running(limits) as api:
        with api.connected(BEGINNING, SETTINGS_ACK) as connection:
            assert is_closed(connection)
        with api.connected(BEGINNING, SETTINGS_ACK) as connection:
            # Three times is longer than who is silent has.
            for _ in range(3):
                asked = read_until(connection, b"\x00\x00\x08\x06\x00", PATIENCE_SECONDS)
                assert asked
                question = asked.partition(b"\x00\x00\x08\x06\x00")[2][4:12]
                question += connection.recv(8 - len(question)) if len(question) < 8 else b""
                connection.sendall(frame(6, ACK, 0, question))
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
        # Nothing of ours is to hold it up but that nobody reads.
        wide = frame(4, 0, 0, struct.pack(">HI", 4, 2**31 - 1))
        wide += frame(8, 0, 0, struct.pack(">I", 2**30))
        with closing(socket.socket()) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", api.port))
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                connection.sendall(BEGINNING + wide + SETTINGS_ACK + b"".join(calls))
            assert api.beats()
            eventually(lambda: not is_held(api.port, connection), "the API lets go of it")
        assert api.beats()


def is_held(port: int, connection: socket.socket) -> bool:
    """Whether the other side has it open: what was sent and not read hides from ours that it has
    not. By the kernel's table: its number, local and remote address, and state."""
    ours = connection.getsockname()[1]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = (f":{port:04X}", f":{ours:04X}")
    return any((row[1][8:], row[2][8:], row[3]) == (*ends, "01") for row in rows)
