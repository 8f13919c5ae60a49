"""The spans of single operations. tests/e2e/test_traces.py follows a trace through processes."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from dependency_injector import providers
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from sqlalchemy import Engine, bindparam, text
from sqlalchemy.exc import DBAPIError

from adapters.opentelemetry.api_traces import ApiTraces
from adapters.opentelemetry.collector import tracing_to_collector
from adapters.opentelemetry.traced_control_plane import TracedControlPlane
from adapters.opentelemetry.tracing import Tracing
from adapters.sql.engine import make_engine
from adapters.sql.migrations import upgrade
from adapters.sql.store import SqlStore
from adapters.sql.tables import UtcDateTime
from application.context.trace_context import calling_trace_parents, current_trace_parent
from application.ports.broker import BrokerUnavailable
from application.ports.host.control_plane import ControlPlaneUnavailable, RegistrationRequest
from application.ports.store.outbox import RecordedEvent
from application.ports.store.store import StoreUnavailable
from domain.errors import InvalidRegistrationKey
from domain.events import EventKind
from domain.liveness import Status
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.failures import ConfigurationError
from entrypoints.host.container import HostContainer
from entrypoints.host.settings import HostSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from entrypoints.tracing import make_tracing
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.builders import NOW
from tests.support.canary_secrets import canary, leak_detector
from tests.support.collector import Collector, running_collector
from tests.support.fakes import FakeControlPlane
from tests.support.processes import eventually
from tests.support.repository import ROOT

KEY = canary("registration key")
SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-1bf7651916cd43dd8448eb211c80319c-c7ad6b7169203331-00"


class Traced:
    """A tracing, and the spans that it has finished."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing(SimpleSpanProcessor(self._exporter), "tests", "1")
        self.traces = ApiTraces(self.tracing)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        spans = self._exporter.get_finished_spans()
        leak_detector.check("in a span", [span.to_json() for span in spans])
        return spans

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def only(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.spans if span.name == name]
        return span


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    yield traced
    traced.tracing.close()


def identity(span: ReadableSpan) -> tuple[str, str]:
    assert span.context
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def parent(span: ReadableSpan) -> str:
    return f"{span.parent.span_id:016x}" if span.parent else ""


def links(span: ReadableSpan) -> list[str]:
    return [f"{link.context.span_id:016x}" for link in span.links]


def failed(span: ReadableSpan) -> bool:
    return not span.status.is_ok and not span.status.is_unset


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    assert span.attributes is not None
    return span.attributes


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


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
    ],
    ids=["not configured", "disabled"],
)
def test_a_process_that_does_not_trace_loads_no_library_for_it(variables: dict[str, str]) -> None:
    program = (
        "import sys\n"
        "from entrypoints.api.container import ApiContainer\n"
        "from entrypoints.api.settings import ApiSettings\n"
        "from entrypoints.host.container import HostContainer\n"
        "from entrypoints.host.settings import HostSettings\n"
        "HostContainer(settings=HostSettings.load()).run_host()\n"
        "api = ApiContainer(settings=ApiSettings.load())\n"
        "api.host_service(), api.sweep(), api.relay_events(), api.consumers()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "RABBITMQ_URL": "amqp://nowhere", **variables},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout == "[]\n"


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


def echo(batch: Sequence[int]) -> Sequence[int]:
    return batch


def in_own_context(call: Callable[[], None]) -> None:
    """Context variables that the call sets end with its thread."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


@pytest.mark.parametrize("transport", ["gRPC", "AMQP"])
def test_a_batch_is_linked_to_those_of_its_callers_that_are_recorded(
    traced: Traced, transport: str
) -> None:
    other = SAMPLED.replace("b7ad", "d7ad")
    wrapped = (
        traced.traces.heartbeats(echo)
        if transport == "gRPC"
        else traced.traces.messages("manman.reports", echo)
    )

    def write() -> None:
        calling_trace_parents.set([SAMPLED, UNSAMPLED, other])
        assert wrapped([1, 2, 3]) == [1, 2, 3]
        calling_trace_parents.set([UNSAMPLED])
        wrapped([4])
        calling_trace_parents.set([other])
        wrapped([5])

    in_own_context(write)
    together, alone = traced.spans

    assert (parent(together), links(together)) == ("", [SAMPLED[36:52], other[36:52]])
    assert (parent(alone), links(alone)) == (other[36:52], [other[36:52]])


def test_a_check_of_the_store_by_a_consumer_is_not_traced(traced: Traced) -> None:
    traced.traces.messages("manman.reports", echo)([])

    assert traced.names == []


@pytest.mark.parametrize("expired", [(), (7, 8)])
def test_a_sweep_is_traced_only_if_it_expires_servers(
    traced: Traced, expired: tuple[int, ...]
) -> None:
    meanwhile: list[str] = []

    def expire() -> tuple[int, ...]:
        meanwhile.append(current_trace_parent.get())
        return expired

    result = traced.traces.sweep(expire)()

    assert result == expired
    assert current_trace_parent.get() == ""
    assert traced.names == (["expire servers"] if expired else [])
    if expired:
        # Its events belong to this trace.
        assert tuple(meanwhile[0].split("-")[1:3]) == identity(traced.only("expire servers"))


def test_a_failed_sweep_is_not_traced(traced: Traced) -> None:
    def expire() -> tuple[int, ...]:
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        traced.traces.sweep(expire)()

    assert traced.names == []
    assert current_trace_parent.get() == ""


@dataclass
class Outside:
    """Accepts events, or is unavailable."""

    is_unavailable: bool = False
    accepted: list[RecordedEvent] = field(default_factory=list)

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        if self.is_unavailable:
            raise BrokerUnavailable("The broker is away")
        self.accepted += events


def event(number: int, trace_parent: str) -> RecordedEvent:
    return RecordedEvent(
        *(number, f"m-{number}", EventKind.ONLINE, number, NOW, "box", "", Status.ONLINE, 0),
        trace_parent=trace_parent,
    )


def test_events_are_published_in_the_trace_that_caused_them(traced: Traced) -> None:
    outside = Outside()
    events = [event(1, SAMPLED), event(2, ""), event(3, UNSAMPLED)]
    traced.traces.events(outside).publish(events)
    caused, uncaused = [span for span in traced.spans if span.name == "send external"]
    relay = traced.only("relay events")

    assert [each.message_id for each in outside.accepted] == ["m-1", "m-2", "m-3"]
    sent = [each.trace_parent for each in outside.accepted]
    assert (identity(caused)[0], parent(caused)) == (SAMPLED[3:35], SAMPLED[36:52])
    assert sent[0] == f"00-{'-'.join(identity(caused))}-01"
    assert parent(uncaused) == ""
    assert "-".join(identity(uncaused)) in sent[1]
    assert sent[2].startswith(UNSAMPLED[:36])
    assert sent[2].endswith("-00")
    assert links(relay) == [SAMPLED[36:52]]


def test_a_failed_attempt_to_publish_is_one_span(traced: Traced) -> None:
    outside = Outside(is_unavailable=True)
    with pytest.raises(BrokerUnavailable):
        traced.traces.events(outside).publish([event(1, SAMPLED), event(2, SAMPLED)])

    assert traced.names == ["relay events"]
    assert failed(traced.only("relay events"))


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, traced: Traced, tmp_path: Path) -> Iterator[Engine]:
    url = (
        f"sqlite:///{tmp_path / 'traced.sqlite3'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    engine = traced.traces.engine(make_engine(url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE secrets (name TEXT UNIQUE, words TEXT)"))
    yield engine
    engine.dispose()


INSERT = "INSERT INTO secrets (name, words) VALUES (:name, :words)"
# Not canaries: the log of PostgreSQL is searched for canaries too, and contains these values.
ROW = {"name": "written name", "words": "written words"}


def test_the_span_of_a_statement_does_not_contain_its_values(
    traced: Traced, engine: Engine
) -> None:
    with traced.tracing.span("a call"), engine.begin() as connection:
        connection.execute(text(INSERT), ROW)
    insert, call = traced.only("INSERT"), traced.only("a call")

    assert (parent(insert), identity(insert)[0]) == (identity(call)[1], identity(call)[0])
    assert insert.kind is SpanKind.CLIENT
    assert attributes(insert)["db.system.name"] == engine.dialect.name
    assert attributes(insert)["db.query.text"].startswith("INSERT INTO secrets (name, words) VAL")
    assert "written" not in insert.to_json()
    assert not failed(insert)


def test_the_span_of_a_failed_statement_does_not_contain_the_message_of_the_database(
    traced: Traced, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text(INSERT), ROW)
    with pytest.raises(DBAPIError), traced.tracing.span("a call"), engine.begin() as connection:
        # The message of PostgreSQL contains the value of the existing key.
        connection.execute(text(INSERT), ROW)
    insert = traced.only("INSERT")

    assert failed(insert)
    assert "written" not in insert.to_json()
    if engine.dialect.name == "postgresql":
        assert attributes(insert)["db.response.status_code"] == "23505"


def test_a_statement_outside_a_traced_operation_is_not_traced(
    traced: Traced, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    with traced.tracing.span("a call", parent=None):
        pass

    assert traced.names == ["a call"]


def test_a_connection_lost_during_a_statement_ends_its_span(
    traced: Traced, postgres_url: str
) -> None:
    engine = traced.traces.engine(make_engine(postgres_url, 2))
    with pytest.raises(DBAPIError), traced.tracing.span("a call"), engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with traced.tracing.span("the next"), engine.begin() as connection:
        connection.execute(text("SELECT 2"))
    engine.dispose()
    cut, after = [span for span in traced.spans if span.name == "SELECT"]

    assert (failed(cut), failed(after)) == (True, False)
    assert parent(after) == identity(traced.only("the next"))[1]


def test_an_api_of_the_previous_schema_can_still_record_events(
    postgres_url: str, tmp_path: Path
) -> None:
    for url in (postgres_url, f"sqlite:///{tmp_path / 'upgraded.sqlite3'}"):
        upgrade(url)
        engine = make_engine(url)
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO outbox (message_id, kind, server_id, occurred_at, name,"
                    " environment, status, config_revision)"
                    " VALUES ('m-1', 'online', 1, :now, 'box', '', 'online', 0)"
                ).bindparams(bindparam("now", NOW, UtcDateTime))
            )
        with SqlStore(engine).begin() as transaction:
            [event] = transaction.outbox.oldest(10)
        engine.dispose()

        assert (event.message_id, event.trace_parent) == ("m-1", "")


@pytest.mark.parametrize(
    "error", [ControlPlaneUnavailable("The API is unavailable"), InvalidRegistrationKey()]
)
def test_log_lines_after_a_failed_call_of_a_host_belong_to_its_trace(
    traced: Traced, error: Exception
) -> None:
    control_plane: Any = FakeControlPlane(registering=[error])
    host = TracedControlPlane(control_plane, traced.tracing)
    with pytest.raises(type(error)):
        host.register(RegistrationRequest(name="box"))
    [first] = traced.spans

    assert failed(first)
    assert tuple(current_trace_parent.get().split("-")[1:3]) == identity(first)
    host.register(RegistrationRequest(name="box"))
    assert current_trace_parent.get() == ""
    assert parent(traced.spans[1]) == ""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


def test_a_failure_of_the_collector_is_logged_once_and_so_is_its_recovery(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    url = f"{collector.variables['OTEL_EXPORTER_OTLP_ENDPOINT']}/v1/traces"
    secret = url.replace("http://", f"http://user:{canary('collector password')}@")
    tracing = tracing_to_collector(secret, "OTEL_EXPORTER_OTLP_ENDPOINT", "tests", "1")
    for turn in range(6):
        collector.status = 400 if turn < 3 else 200
        with tracing.span(f"turn {turn}"):
            pass
        eventually(lambda turn=turn: collector.answers > turn, "the span to be sent")  # type: ignore[misc]
    tracing.close()
    address = url.removeprefix("http://").partition("/")[0]

    assert [span.name for span in collector.spans] == ["turn 3", "turn 4", "turn 5"]
    failure, recovery = [record.getMessage() for record in caplog.records]
    assert failure == (
        f"The collector at {address} (OTEL_EXPORTER_OTLP_ENDPOINT) answers with HTTP status 400:"
        " check that it accepts OTLP over HTTP at /v1/traces. Spans are dropped until it accepts"
        " them."
    )
    assert recovery == "the collector accepts spans again"


@pytest.mark.parametrize("metrics_address", ["", "127.0.0.1:9091"])
def test_everything_can_be_built_with_tracing(metrics_address: str) -> None:
    endpoint = Secret("http://127.0.0.1:1")
    host = HostContainer(
        settings=HostSettings(otel_exporter_otlp_endpoint=endpoint, metrics_address=metrics_address)
    )
    api = ApiContainer(
        settings=ApiSettings(
            database_url=Secret("postgresql://nobody@nowhere/nothing"),
            rabbitmq_url=Secret("amqp://nowhere"),
            otel_exporter_otlp_endpoint=endpoint,
        )
    )
    tracing = host.tracing()
    assert tracing
    tracing.close()
    traces = api.traces()
    traces.close()

    assert isinstance(traces, ApiTraces)
    assert isinstance(host.traced_transport(), TracedControlPlane)
    assert (host.control_plane() is host.traced_transport()) is not bool(metrics_address)
    assert api.host_service().register_server.store is api.store()
    assert len(api.consumers()) == 2
    assert callable(api.sweep())
    assert api.relay_events().events is api.events()


def test_an_invalid_setting_of_the_sdk_is_a_warning_and_turns_tracing_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    settings = HostSettings(otel_exporter_otlp_endpoint=Secret("http://127.0.0.1:1"))

    assert make_tracing(settings, "manmanv2-host") is None
    assert "OTEL_" in caplog.text


def test_the_standard_variables_set_the_service_name_and_attributes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "fleet-api")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=production")
    traced = Traced()
    with traced.tracing.span("a call"):
        pass
    resource = traced.spans[0].resource.attributes

    assert resource["service.name"] == "fleet-api"
    assert resource["deployment.environment.name"] == "production"
    assert resource["service.version"] == "1"


@pytest.mark.parametrize(
    "url", ["collector:4318", "grpc://collector:4317", "http://", "http://h:x"]
)
@pytest.mark.parametrize("settings", [ApiSettings, HostSettings])
def test_the_error_of_an_invalid_endpoint_is_one_sentence(
    settings: type[ApiSettings | HostSettings], url: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.load({"OTEL_EXPORTER_OTLP_ENDPOINT": url})

    assert str(refused.value) == (
        "OTEL_EXPORTER_OTLP_ENDPOINT: must be http://HOST:PORT or https://HOST:PORT."
    )


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/otlp/"}, "http://c:4318/otlp/v1/traces"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/spans",
            },
            "https://t/spans",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "True"}, None),
    ],
)
def test_the_url_of_the_collector_follows_from_the_standard_variables(
    variables: dict[str, str], url: str | None
) -> None:
    collector = HostSettings.load(variables).collector

    assert (collector.url if collector else None) == url
