"""How the probe diagnoses an API that a host cannot reach."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from adapters.grpc.client.api_probe import GrpcApiProbe
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.fake_servers import (
    api_with_clock,
    port_behind_a_firewall,
    port_that_hangs_up,
    port_that_says,
    silent_port,
    tls_port,
)
from tests.support.processes import free_address

KEY = canary("key")


def problem_at(address: str, seconds: float = 60.0) -> str:
    """The error of a probe, without the address. Only a silent peer takes all of the seconds."""
    with pytest.raises((ControlPlaneUnavailable, ControlPlaneRefused)) as caught:
        GrpcApiProbe(address, call_seconds=seconds, step_seconds=seconds).try_key(KEY)
    head = f"The API at {address} (API_ADDRESS) "

    assert str(caught.value).startswith(head)
    return str(caught.value).removeprefix(head)


@contextmanager
def api(answer: Callable[[pb.RegisterServerRequest, grpc.ServicerContext], Any]) -> Iterator[str]:
    """The address of an API with this answer, whose health service reports NOT_SERVING."""
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    register = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=pb.RegisterServerRequest.FromString,
        response_serializer=pb.RegisterServerResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("manman.v1.ManManAPI", {"RegisterServer": register})]
    )
    health = HealthServicer()
    health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(grace=None).wait()


def test_a_wrong_clock_is_noticed() -> None:
    with api_with_clock(-3600) as address:
        clock = GrpcApiProbe(address).try_key(KEY).clock

    assert clock
    assert clock.difference < timedelta(minutes=-59)


@pytest.mark.parametrize("unix_time", ["", "soon", "nan", "inf", "1e300", None])
def test_an_invalid_clock_reading_is_none(unix_time: str | None) -> None:
    def answer(_: pb.RegisterServerRequest, context: grpc.ServicerContext) -> None:
        if unix_time is not None:
            context.set_trailing_metadata((("manmanv2-unix-time", unix_time),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "name is required")

    with api(answer) as address:
        trial = GrpcApiProbe(address).try_key(KEY)

    assert trial.admitted
    assert trial.clock is None


def test_a_port_where_nothing_listens_is_reported() -> None:
    assert problem_at(free_address()).startswith("is not there: nothing listens on that port; ")


def test_a_name_that_does_not_resolve_is_reported() -> None:
    assert problem_at("no.such.host.invalid:50051").startswith("is not found: its name does not ")


def test_a_firewall_that_drops_packets_is_distinguished_from_a_program_that_hangs() -> None:
    with port_behind_a_firewall() as address:
        dropped = problem_at(address, seconds=1)
    with silent_port() as address:
        silent = problem_at(address, seconds=1)

    assert dropped.startswith("neither accepts nor refuses connections: a firewall drops")
    assert silent.startswith("accepts connections and sends nothing: it hangs, or")


def test_a_port_that_requires_tls_is_reported() -> None:
    with tls_port() as address:
        assert problem_at(address) == (
            f"requires TLS: set API_ADDRESS to https://{address}, or API_USE_TLS=true."
        )


@pytest.mark.parametrize(
    "greeting",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02",
    ],
)
def test_another_program_is_reported(greeting: bytes) -> None:
    with port_that_says(greeting) as address:
        assert problem_at(address).startswith(
            "accepts connections, but speaks neither gRPC nor TLS"
        )


def test_a_program_that_closes_the_connection_is_not_an_api() -> None:
    with port_that_hangs_up() as address:
        message = problem_at(address)

    assert message.startswith("accepts connections, but speaks neither gRPC nor TLS")


def test_another_grpc_server_is_a_matter_of_configuration() -> None:
    other = grpc.server(ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    message = problem_at(f"127.0.0.1:{port}")
    other.stop(grace=None).wait()

    assert message.startswith(
        "does not know this call: check that API_ADDRESS names the API's port"
    )


def test_an_api_that_accepts_no_calls_is_reported() -> None:
    def answer(_: pb.RegisterServerRequest, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b""),))
        context.abort(grpc.StatusCode.UNAVAILABLE, "this API is stopping, try again")

    with api(answer) as address:
        assert problem_at(address) == "accepts no calls: it is starting or stopping; try again."


def test_a_server_that_registers_a_host_without_a_name_is_not_a_manman_api() -> None:
    with api(lambda *_: pb.RegisterServerResponse(server_id=1)) as address:
        assert problem_at(address).startswith("registered a host without a name: ")
