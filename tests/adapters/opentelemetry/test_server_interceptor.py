"""The spans of gRPC calls that the API serves."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest
from dependency_injector import providers
from opentelemetry.trace import SpanKind

from application.ports.store.store import StoreUnavailable
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.canary_secrets import canary
from tests.support.traced import (
    SAMPLED,
    UNSAMPLED,
    Traced,
    attributes,
    failed,
    identity,
    parent,
)

KEY = canary("registration key")


@contextmanager
def served(traced: Traced, **settings: Any) -> Iterator[tuple[ApiContainer, ManManAPIStub]]:
    container = ApiContainer(
        settings=ApiSettings(
            database_url=Secret(IN_MEMORY),
            listen_address="127.0.0.1:0",
            registration_key=Secret(KEY),
            **settings,
        )
    )
    container.traces.override(providers.Object(traced.traces))
    with ExitStack() as stack:
        for threads in (container.host_call_admission(), container.operator_calls()):
            stack.callback(threads.close)
        stack.callback(container.heartbeat_writer().shutdown)
        port = stack.enter_context(serving(container))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        yield container, ManManAPIStub(channel)


def test_a_call_is_a_span_in_the_trace_of_its_caller(traced: Traced) -> None:
    with served(traced) as (_, stub):
        stub.RegisterServer(
            pb.RegisterServerRequest(name="box", registration_key=KEY),
            metadata=(("traceparent", SAMPLED),),
        )
    span = traced.only("manman.v1.ManManAPI/RegisterServer")

    assert span.kind is SpanKind.SERVER
    assert (identity(span)[0], parent(span)) == (SAMPLED[3:35], SAMPLED[36:52])


@pytest.mark.parametrize(
    "sent", ["", "nonsense", SAMPLED[:-1], f"00-{'0' * 32}-{'0' * 16}-01", f"ff{SAMPLED[2:]}"]
)
def test_an_invalid_traceparent_is_ignored(traced: Traced, sent: str) -> None:
    with served(traced) as (_, stub):
        stub.ListServers(pb.ListServersRequest(), metadata=(("traceparent", sent),))
    span = traced.only("manman.v1.ManManAPI/ListServers")

    assert span.parent is None
    assert identity(span)[0] != SAMPLED[3:35]


def test_a_caller_can_decide_that_its_trace_is_not_recorded(traced: Traced) -> None:
    with served(traced) as (container, stub):
        joining = pb.RegisterServerRequest(name="box", registration_key=KEY)
        stub.RegisterServer(joining, metadata=(("traceparent", UNSAMPLED),))
        stub.Heartbeat(
            pb.HeartbeatRequest(server_id=1, leaving=True), metadata=(("traceparent", UNSAMPLED),)
        )
        with container.store().begin() as transaction:
            events = transaction.outbox.oldest(10)

    assert traced.names == []
    # The events carry the id of the trace, and that it is not recorded.
    assert {event.trace_parent[3:35] for event in events} == {UNSAMPLED[3:35]}
    assert {event.trace_parent[-2:] for event in events} == {"00"}


def test_a_refused_call_is_not_a_failure_of_the_api(traced: Traced) -> None:
    with served(traced) as (_, stub):
        with pytest.raises(grpc.RpcError):
            stub.RegisterServer(pb.RegisterServerRequest(name="box", registration_key=f"{KEY}x"))
        with pytest.raises(grpc.RpcError):
            stub.Heartbeat(pb.HeartbeatRequest(server_id=7))
    registration = traced.only("manman.v1.ManManAPI/RegisterServer")
    heartbeat = traced.only("manman.v1.ManManAPI/Heartbeat")

    assert attributes(registration)["rpc.grpc.status_code"] == 7
    assert attributes(heartbeat)["rpc.grpc.status_code"] == 5
    assert not any(failed(span) for span in traced.spans)


class _AwayStore:
    def begin(self) -> Any:
        raise StoreUnavailable


class _BrokenStore:
    def begin(self) -> Any:
        raise RuntimeError(f"cannot work with {canary('database password')}")


@pytest.mark.parametrize(
    ("store", "code", "words"),
    [
        (_AwayStore(), 14, "the store is not available, try again"),
        (_BrokenStore(), 13, "internal error"),
    ],
)
def test_the_span_of_a_failed_call_contains_no_more_than_the_error_of_the_client(
    traced: Traced, store: object, code: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    # The log names the cause, which here contains a secret.
    caplog.set_level(logging.CRITICAL, "adapters.grpc.server.error_codes")
    container = ApiContainer(
        settings=ApiSettings(database_url=Secret(IN_MEMORY), listen_address="127.0.0.1:0")
    )
    container.traces.override(providers.Object(traced.traces))
    container.store.override(providers.Object(store))
    with serving(container) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = ManManAPIStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.GetServer(pb.GetServerRequest(server_id=1))
        with pytest.raises(grpc.RpcError):
            stub.Heartbeat(pb.HeartbeatRequest(server_id=1))
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()

    for name in ("GetServer", "Heartbeat"):
        span = traced.only(f"manman.v1.ManManAPI/{name}")
        assert failed(span)
        assert attributes(span)["rpc.grpc.status_code"] == code
        assert span.status.description == words
    write = traced.only("record heartbeats")
    assert failed(write)
    assert write.status.description is None
    assert write.events == ()


def test_calls_of_the_health_service_are_not_traced(traced: Traced) -> None:
    from adapters.grpc.client.health import check_serving

    container = ApiContainer(
        settings=ApiSettings(database_url=Secret(IN_MEMORY), listen_address="127.0.0.1:0")
    )
    container.traces.override(providers.Object(traced.traces))
    with serving(container) as port:
        check_serving(f"127.0.0.1:{port}")

    assert traced.names == []
