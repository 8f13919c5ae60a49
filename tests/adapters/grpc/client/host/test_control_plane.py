import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from adapters.grpc.client.host.control_plane import GrpcControlPlane
from application.host.key_ring import KeyRing
from application.ports.host.control_plane import (
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    HeartbeatResult,
    RegistrationRequest,
    RegistrationResult,
)
from domain.approval import Approval
from domain.capabilities import Capabilities, PortRange
from domain.configuration import Configuration, ConfigurationChanges
from domain.errors import (
    CredentialRequired,
    InvalidRegistrationKey,
    NameInUse,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
)
from domain.machine_evidence import Evidence
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.fake_servers import port_that_hangs_up, port_that_says

CAPABILITIES = Capabilities(
    total_memory_mb=8192,
    available_memory_mb=4096,
    cpu_cores=4,
    available_cpu_millicores=3500,
    available_ports=(PortRange(25565, 25575, "TCP"),),
    docker_version="29.1.2",
)
UNREACHED_PORT = 1
KEY = canary("registration key")


class ScriptedApi:
    """Answers every call with the same message or status, and records the requests."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.message = "the server's own words"
        self.requests: list[Any] = []

    def __call__(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.requests.append(request)
        if isinstance(self.answer, grpc.StatusCode):
            context.abort(self.answer, self.message)
        return self.answer


@contextmanager
def serving(api: ScriptedApi, port: int = 0) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    handlers = {
        call: grpc.unary_unary_rpc_method_handler(
            api,
            request_deserializer=getattr(pb, f"{call}Request").FromString,
            response_serializer=getattr(pb, f"{call}Response").SerializeToString,
        )
        for call in ("RegisterServer", "Heartbeat", "FetchConfiguration", "Deregister")
    }
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("manman.v1.ManManAPI", handlers)]
    )
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    yield port
    server.stop(grace=None).wait()


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
def control_plane(api: ScriptedApi) -> Iterator[GrpcControlPlane]:
    with (
        serving(api) as port,
        closing(GrpcControlPlane(f"127.0.0.1:{port}", KeyRing.single(KEY))) as control_plane,
    ):
        yield control_plane


def unavailable(address: str, call_seconds: float = 60.0) -> str:
    """The error of a call to an API that cannot be reached at the address."""
    control_plane = GrpcControlPlane(address, KeyRing.single(KEY), call_seconds=call_seconds)
    with (
        closing(control_plane),
        pytest.raises(ControlPlaneUnavailable) as caught,
    ):
        control_plane.heartbeat(42, None)
    return str(caught.value)


# Requests on the wire


def test_a_registration_carries_everything_and_the_key(
    api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = pb.RegisterServerResponse(
        server_id=42,
        server=pb.Server(server_id=42, name="frontend", approval="pending"),
        next_heartbeat_seconds=20,
        config_revision=7,
        epoch=9,
    )

    joined = control_plane.register(
        RegistrationRequest(
            name="mars-production",
            environment="production",
            capabilities=CAPABILITIES,
            evidence=Evidence("a" * 32, "b" * 32, "c" * 32, "d" * 32, "e" * 32),
            labels={"region": "nyc"},
            ephemeral=True,
        )
    )

    assert joined == RegistrationResult(
        42,
        timedelta(seconds=20),
        config_revision=7,
        name="frontend",
        epoch=9,
        approval=Approval.PENDING,
    )
    assert api.requests == [
        pb.RegisterServerRequest(
            name="mars-production",
            environment="production",
            registration_key=KEY,
            capabilities=pb.ServerCapabilities(
                total_memory_mb=8192,
                available_memory_mb=4096,
                cpu_cores=4,
                available_cpu_millicores=3500,
                available_ports=[pb.PortRange(start=25565, end=25575, protocol="TCP")],
                docker_version="29.1.2",
            ),
            evidence=pb.Evidence(
                machine_id="a" * 32,
                hardware_id="b" * 32,
                engine_id="c" * 32,
                boot_id="d" * 32,
                instance_id="e" * 32,
            ),
            labels=pb.Labels(labels={"region": "nyc"}),
            ephemeral=True,
        )
    ]


def test_a_host_without_evidence_and_labels_sends_empty_labels(
    api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = pb.RegisterServerResponse(server_id=42)

    control_plane.register(RegistrationRequest(name="mars"))

    # Labels that are absent would keep those of an earlier start.
    assert api.requests == [
        pb.RegisterServerRequest(name="mars", registration_key=KEY, labels=pb.Labels())
    ]


def test_an_older_api_counts_no_epochs_and_approves_every_host(
    api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = pb.RegisterServerResponse(server_id=42, next_heartbeat_seconds=20)

    joined = control_plane.register(RegistrationRequest(name="mars"))

    assert joined == RegistrationResult(42, timedelta(seconds=20), config_revision=0)
    assert (joined.epoch, joined.approval) == (0, Approval.APPROVED)


@pytest.mark.parametrize(
    ("sent", "approval"),
    [("", Approval.APPROVED), ("pending", Approval.PENDING), ("paused", Approval.PENDING)],
)
def test_a_heartbeat_carries_the_epoch_and_its_answer_the_approval(
    sent: str, approval: Approval, api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = pb.HeartbeatResponse(
        acknowledged=True, next_heartbeat_seconds=30, config_revision=8, approval=sent
    )

    result = control_plane.heartbeat(42, None, epoch=9)

    assert result == HeartbeatResult(timedelta(seconds=30), 8, approval)
    assert api.requests == [pb.HeartbeatRequest(server_id=42, epoch=9)]


def test_a_deregistration_carries_the_key_and_the_process(
    api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = pb.DeregisterResponse()

    control_plane.deregister(42, "e" * 32)

    assert api.requests == [
        pb.DeregisterRequest(server_id=42, registration_key=KEY, instance_id="e" * 32)
    ]


def test_a_heartbeat_without_capabilities_leaves_them_out(
    api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = pb.HeartbeatResponse(
        acknowledged=True, next_heartbeat_seconds=30, config_revision=8
    )

    result = control_plane.heartbeat(42, None)

    assert result == HeartbeatResult(timedelta(seconds=30), config_revision=8)
    assert api.requests == [pb.HeartbeatRequest(server_id=42)]


def test_a_leaving_heartbeat_reports_that_the_host_leaves(
    api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = pb.HeartbeatResponse(acknowledged=True)

    control_plane.heartbeat(42, None, epoch=9, leaving=True)

    assert api.requests == [pb.HeartbeatRequest(server_id=42, leaving=True, epoch=9)]


def test_configuration_is_fetched_from_the_known_revision_with_the_key(
    api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = pb.FetchConfigurationResponse(
        changed=[pb.Configuration(name="a", document="{}", revision=5, updated_at=1_800_000_000)],
        names=["a", "b"],
        revision=5,
        more=True,
    )

    changes = control_plane.fetch_configuration(42, 4, 3)

    assert changes == ConfigurationChanges(
        [Configuration("a", "{}", 5, datetime.fromtimestamp(1_800_000_000, UTC))],
        ["a", "b"],
        revision=5,
        more=True,
    )
    assert api.requests == [
        pb.FetchConfigurationRequest(
            server_id=42, registration_key=KEY, known_revision=4, after_revision=3
        )
    ]


@pytest.mark.parametrize(
    ("sent", "seconds"), [(0, 15), (-5, 15), (1, 1), (3600, 3600), (3601, 3600), (2**63 - 1, 3600)]
)
def test_an_invalid_interval_is_replaced(
    sent: int, seconds: int, api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = pb.HeartbeatResponse(acknowledged=True, next_heartbeat_seconds=sent)

    result = control_plane.heartbeat(42, None)

    assert result.next_heartbeat == timedelta(seconds=seconds)


def test_the_key_is_not_in_the_repr() -> None:
    assert KEY not in repr(GrpcControlPlane("localhost:50051", KeyRing.single(KEY)))


# Errors of a server


def register(control_plane: GrpcControlPlane) -> None:
    control_plane.register(RegistrationRequest(name="mars", capabilities=CAPABILITIES))


def heartbeat(control_plane: GrpcControlPlane) -> None:
    control_plane.heartbeat(42, None)


def fetch(control_plane: GrpcControlPlane) -> None:
    control_plane.fetch_configuration(42, 0)


def deregister(control_plane: GrpcControlPlane) -> None:
    control_plane.deregister(42, "")


@pytest.mark.parametrize("call", [register, heartbeat, fetch, deregister])
@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    ],
)
def test_a_temporary_failure_is_unavailable_and_names_the_address(
    code: grpc.StatusCode,
    call: Callable[[GrpcControlPlane], None],
    api: ScriptedApi,
    control_plane: GrpcControlPlane,
) -> None:
    api.answer = code

    with pytest.raises(ControlPlaneUnavailable) as caught:
        call(control_plane)

    assert str(caught.value).startswith(f"The API at {control_plane.address} (API_ADDRESS) ")
    assert api.message not in str(caught.value)


@pytest.mark.parametrize("call", [register, fetch, deregister])
def test_a_wrong_key_is_recognised(
    call: Callable[[GrpcControlPlane], None], api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer, api.message = grpc.StatusCode.PERMISSION_DENIED, "invalid registration key"

    with pytest.raises(InvalidRegistrationKey):
        call(control_plane)


@pytest.mark.parametrize("call", [register, heartbeat, fetch, deregister])
def test_a_host_that_is_not_admitted_gets_the_reason(
    call: Callable[[GrpcControlPlane], None], api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = grpc.StatusCode.PERMISSION_DENIED

    with pytest.raises(NotAdmitted, match=r"^the server's own words$"):
        call(control_plane)


def test_a_name_in_use_is_reported_in_the_server_s_words(
    api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = grpc.StatusCode.ALREADY_EXISTS

    with pytest.raises(NameInUse, match=r"^the server's own words$"):
        register(control_plane)


@pytest.mark.parametrize("call", [heartbeat, deregister])
def test_a_superseded_process_learns_which_process_replaced_it(
    call: Callable[[GrpcControlPlane], None], api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = grpc.StatusCode.FAILED_PRECONDITION

    with pytest.raises(SupersededRegistration, match=r"^the server's own words$"):
        call(control_plane)


@pytest.mark.parametrize("call", [heartbeat, fetch, deregister])
def test_an_unknown_server_is_recognised(
    call: Callable[[GrpcControlPlane], None], api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = grpc.StatusCode.NOT_FOUND

    with pytest.raises(ServerNotFound) as caught:
        call(control_plane)

    assert caught.value.server_id == 42


def test_a_required_credential_is_recognised(
    api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = grpc.StatusCode.UNAUTHENTICATED

    with pytest.raises(CredentialRequired):
        heartbeat(control_plane)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        *itertools.product(
            (register, heartbeat, fetch, deregister),
            (
                grpc.StatusCode.INVALID_ARGUMENT,
                grpc.StatusCode.OUT_OF_RANGE,
                grpc.StatusCode.DATA_LOSS,
            ),
        ),
        *((call, grpc.StatusCode.UNAUTHENTICATED) for call in (register, fetch, deregister)),
        (register, grpc.StatusCode.FAILED_PRECONDITION),
        # The server waits to be approved.
        (fetch, grpc.StatusCode.FAILED_PRECONDITION),
        (heartbeat, grpc.StatusCode.ALREADY_EXISTS),
    ],
)
def test_a_permanent_refusal_has_the_server_s_words(
    code: grpc.StatusCode,
    call: Callable[[GrpcControlPlane], None],
    api: ScriptedApi,
    control_plane: GrpcControlPlane,
) -> None:
    api.answer = code

    with pytest.raises(ControlPlaneRefused) as caught:
        call(control_plane)

    assert str(caught.value) == (
        f"The API at {control_plane.address} (API_ADDRESS) refuses this host:"
        " the server's own words."
    )


def test_an_unknown_call_points_to_the_server_s_address_and_age(
    api: ScriptedApi, control_plane: GrpcControlPlane
) -> None:
    api.answer = grpc.StatusCode.UNIMPLEMENTED

    with pytest.raises(ControlPlaneRefused, match="does not know this call: check that API_ADDR"):
        register(control_plane)


# Failed connections


def test_a_port_where_nothing_listens_is_reported() -> None:
    assert unavailable(f"127.0.0.1:{UNREACHED_PORT}") == (
        "The API at 127.0.0.1:1 (API_ADDRESS) is not there: nothing listens on that port; check"
        " that it runs and that API_ADDRESS is right."
    )


def test_a_name_that_does_not_resolve_is_reported() -> None:
    assert "is not found: its name does not resolve" in unavailable("no.such.host.invalid:50051")


def test_a_call_to_a_silent_api_ends_in_time() -> None:
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sentence = unavailable(f"127.0.0.1:{silent.getsockname()[1]}", call_seconds=1)

    assert "does not answer in time" in sentence
    # One call, and a look at the port for TLS. The factor is for a busy machine.
    assert time.monotonic() - began < 60


def test_a_port_that_closes_the_connection_is_reported() -> None:
    with port_that_hangs_up() as address:
        sentence = unavailable(address)

    assert "closes the connection" in sentence


def test_a_web_server_is_not_an_api() -> None:
    with port_that_says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as address:
        sentence = unavailable(address)

    assert "is not a gRPC server" in sentence


def test_an_api_that_comes_back_is_reached_by_the_very_next_call(
    api: ScriptedApi,
) -> None:
    api.answer = pb.HeartbeatResponse(acknowledged=True)
    with serving(api) as port:
        pass
    with closing(GrpcControlPlane(f"127.0.0.1:{port}", KeyRing.single(""))) as control_plane:
        for _ in range(5):
            with pytest.raises(ControlPlaneUnavailable):
                control_plane.heartbeat(42, None)

        with serving(api, port):
            control_plane.heartbeat(42, None)

    assert len(api.requests) == 1


def test_an_api_that_was_restarted_between_two_heartbeats_is_reached(api: ScriptedApi) -> None:
    api.answer = pb.HeartbeatResponse(acknowledged=True)
    with serving(api) as port:
        control_plane = GrpcControlPlane(f"127.0.0.1:{port}", KeyRing.single(""))
        control_plane.heartbeat(42, None)
    with closing(control_plane), serving(api, port):
        control_plane.heartbeat(42, None)

    assert len(api.requests) == 2


def test_a_connection_that_died_silently_is_replaced(api: ScriptedApi) -> None:
    """As behind a load balancer that lost power: no packet reports that it is gone."""
    api.answer = pb.HeartbeatResponse(acknowledged=True)
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, serving(api) as port:
        silent = threading.Thread(target=lambda: connections.append(listener.accept()[0]))
        silent.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with closing(
            GrpcControlPlane(address, KeyRing.single(""), call_seconds=0.5)
        ) as control_plane:
            with pytest.raises(ControlPlaneUnavailable):
                control_plane.heartbeat(42, None)
            silent.join()
            replacement = threading.Thread(target=_forward, args=(listener, port))
            replacement.start()
            control_plane.call_seconds = 60

            control_plane.heartbeat(42, None)
        replacement.join()
    for connection in connections:
        connection.close()

    assert len(api.requests) == 1


def _forward(listener: socket.socket, port: int) -> None:
    """Relay one connection, until either end closes it."""
    client, _ = listener.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        back = threading.Thread(target=_copy, args=(server, client))
        back.start()
        _copy(client, server)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
