"""What is traced and what is not; the whole way of a trace is among the tests of processes."""

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
from adapters.opentelemetry.collector import collected_traces
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
    """Spans as they end, and the tracing that makes them."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing(SimpleSpanProcessor(self._exporter), "tests", "1")
        self.traces = ApiTraces(self.tracing)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        found = self._exporter.get_finished_spans()
        leak_detector.check("in a span", [span.to_json() for span in found])
        return found

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def only(self, name: str) -> ReadableSpan:
        [found] = [span for span in self.spans if span.name == name]
        return found


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


@pytest.mark.parametrize("asked", ["no", "for nothing"])
def test_who_does_not_trace_loads_no_library_of_it(asked: str) -> None:
    variables = {
        "no": {},
        "for nothing": {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
            "OTEL_SDK_DISABLED": "true",
        },
    }[asked]
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


def test_a_call_is_a_span_within_the_trace_of_who_calls(traced: Traced) -> None:
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
def test_a_traceparent_that_is_none_begins_a_trace_as_if_there_was_none(
    traced: Traced, sent: str
) -> None:
    with served(traced) as (_, stub):
        stub.ListServers(pb.ListServersRequest(), metadata=(("traceparent", sent),))
    span = traced.only("manman.v1.ManManAPI/ListServers")

    assert span.parent is None
    assert identity(span)[0] != SAMPLED[3:35]


def test_who_calls_may_say_that_it_is_not_recorded(traced: Traced) -> None:
    with served(traced) as (container, stub):
        joining = pb.RegisterServerRequest(name="box", registration_key=KEY)
        stub.RegisterServer(joining, metadata=(("traceparent", UNSAMPLED),))
        stub.Heartbeat(
            pb.HeartbeatRequest(server_id=1, leaving=True), metadata=(("traceparent", UNSAMPLED),)
        )
        with container.store().begin() as transaction:
            events = transaction.outbox.oldest(10)

    assert traced.names == []
    # What follows from it is told so, and of which trace it is all the same.
    assert {event.trace_parent[3:35] for event in events} == {UNSAMPLED[3:35]}
    assert {event.trace_parent[-2:] for event in events} == {"00"}


def test_a_call_that_is_refused_is_no_failure_of_the_api(traced: Traced) -> None:
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
def test_a_failure_of_the_api_is_one_of_its_span_and_tells_no_more_than_the_client_hears(
    traced: Traced, store: object, code: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    # What it was is for the log, and here it holds what must not be in a span.
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


def test_probes_of_the_health_service_leave_no_trace(traced: Traced) -> None:
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
    """What it sets for its callers goes with it."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


@pytest.mark.parametrize("way", ["gRPC", "AMQP"])
def test_a_batch_is_linked_to_those_of_its_callers_that_are_recorded(
    traced: Traced, way: str
) -> None:
    other = SAMPLED.replace("b7ad", "d7ad")
    wrapped = (
        traced.traces.heartbeats(echo)
        if way == "gRPC"
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


def test_an_inbox_that_asks_whether_the_store_is_well_leaves_no_trace(traced: Traced) -> None:
    traced.traces.messages("manman.reports", echo)([])

    assert traced.names == []


@pytest.mark.parametrize("expired", [(), (7, 8)])
def test_a_look_for_silent_servers_is_traced_when_it_finds_some(
    traced: Traced, expired: tuple[int, ...]
) -> None:
    meanwhile: list[str] = []

    def expire() -> tuple[int, ...]:
        meanwhile.append(current_trace_parent.get())
        return expired

    found = traced.traces.sweep(expire)()

    assert found == expired
    assert current_trace_parent.get() == ""
    assert traced.names == (["expire servers"] if expired else [])
    if expired:
        # What it tells the outside is of this trace.
        assert tuple(meanwhile[0].split("-")[1:3]) == identity(traced.only("expire servers"))


def test_a_look_that_fails_leaves_no_trace(traced: Traced) -> None:
    def expire() -> tuple[int, ...]:
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        traced.traces.sweep(expire)()

    assert traced.names == []
    assert current_trace_parent.get() == ""


@dataclass
class Outside:
    """Takes events, or is away."""

    away: bool = False
    taken: list[RecordedEvent] = field(default_factory=list)

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        if self.away:
            raise BrokerUnavailable
        self.taken += events


def event(number: int, trace_parent: str) -> RecordedEvent:
    return RecordedEvent(
        *(number, f"m-{number}", EventKind.ONLINE, number, NOW, "box", "", Status.ONLINE, 0),
        trace_parent=trace_parent,
    )


def test_events_go_out_in_the_trace_in_which_they_happened(traced: Traced) -> None:
    outside = Outside()
    events = [event(1, SAMPLED), event(2, ""), event(3, UNSAMPLED)]
    traced.traces.events(outside).publish(events)
    of_a_call, of_nobody = [span for span in traced.spans if span.name == "send external"]
    relay = traced.only("relay events")

    assert [one.message_id for one in outside.taken] == ["m-1", "m-2", "m-3"]
    told = [one.trace_parent for one in outside.taken]
    assert (identity(of_a_call)[0], parent(of_a_call)) == (SAMPLED[3:35], SAMPLED[36:52])
    assert told[0] == f"00-{'-'.join(identity(of_a_call))}-01"
    assert parent(of_nobody) == ""
    assert "-".join(identity(of_nobody)) in told[1]
    assert told[2].startswith(UNSAMPLED[:36])
    assert told[2].endswith("-00")
    assert links(relay) == [SAMPLED[36:52]]


def test_a_broker_that_is_away_is_one_span_a_try(traced: Traced) -> None:
    with pytest.raises(BrokerUnavailable):
        traced.traces.events(Outside(away=True)).publish([event(1, SAMPLED), event(2, SAMPLED)])

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
# Not planted: PostgreSQL's log is looked into, too, and says all of it.
ROW = {"name": "written name", "words": "written words"}


def test_a_statement_is_told_without_what_is_written(traced: Traced, engine: Engine) -> None:
    with traced.tracing.span("a call"), engine.begin() as connection:
        connection.execute(text(INSERT), ROW)
    insert, call = traced.only("INSERT"), traced.only("a call")

    assert (parent(insert), identity(insert)[0]) == (identity(call)[1], identity(call)[0])
    assert insert.kind is SpanKind.CLIENT
    assert attributes(insert)["db.system.name"] == engine.dialect.name
    assert attributes(insert)["db.query.text"].startswith("INSERT INTO secrets (name, words) VAL")
    assert "written" not in insert.to_json()
    assert not failed(insert)


def test_a_statement_that_fails_is_told_without_the_words_of_the_database(
    traced: Traced, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text(INSERT), ROW)
    with pytest.raises(DBAPIError), traced.tracing.span("a call"), engine.begin() as connection:
        # PostgreSQL says which key is there already, with its value.
        connection.execute(text(INSERT), ROW)
    insert = traced.only("INSERT")

    assert failed(insert)
    assert "written" not in insert.to_json()
    if engine.dialect.name == "postgresql":
        assert attributes(insert)["db.response.status_code"] == "23505"


def test_statements_of_nothing_that_is_traced_leave_no_trace(
    traced: Traced, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    with traced.tracing.span("a call", parent=None):
        pass

    assert traced.names == ["a call"]


def test_a_server_that_goes_away_in_a_statement_ends_its_span(
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


def test_an_api_of_the_schema_before_goes_on_recording_events(
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
    "trouble", [ControlPlaneUnavailable("It is not there."), InvalidRegistrationKey()]
)
def test_what_a_host_logs_after_a_failed_call_belongs_to_its_trace(
    traced: Traced, trouble: Exception
) -> None:
    control_plane: Any = FakeControlPlane(registering=[trouble])
    host = TracedControlPlane(control_plane, traced.tracing)
    with pytest.raises(type(trouble)):
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


def test_trouble_with_the_collector_is_told_once_and_so_is_its_end(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    url = f"{collector.variables['OTEL_EXPORTER_OTLP_ENDPOINT']}/v1/traces"
    secret = url.replace("http://", f"http://user:{canary('collector password')}@")
    tracing = collected_traces(secret, "OTEL_EXPORTER_OTLP_ENDPOINT", "tests", "1")
    for turn in range(6):
        collector.status = 400 if turn < 3 else 200
        with tracing.span(f"turn {turn}"):
            pass
        eventually(lambda turn=turn: collector.answers > turn, "the span to be sent")  # type: ignore[misc]
    tracing.close()
    address = url.removeprefix("http://").partition("/")[0]

    assert [span.name for span in collector.spans] == ["turn 3", "turn 4", "turn 5"]
    trouble, over = [record.getMessage() for record in caplog.records]
    assert trouble == (
        f"The collector at {address} (OTEL_EXPORTER_OTLP_ENDPOINT) answers with HTTP status 400:"
        " check that it takes OTLP over HTTP at /v1/traces. Spans are dropped until it takes them."
    )
    assert over == "the collector takes spans again"


@pytest.mark.parametrize("metrics_address", ["", "127.0.0.1:9091"])
def test_everything_can_be_built_where_traces_are_asked_for(metrics_address: str) -> None:
    asked = Secret("http://127.0.0.1:1")
    host = HostContainer(
        settings=HostSettings(otel_exporter_otlp_endpoint=asked, metrics_address=metrics_address)
    )
    api = ApiContainer(
        settings=ApiSettings(
            database_url=Secret("postgresql://nobody@nowhere/nothing"),
            rabbitmq_url=Secret("amqp://nowhere"),
            otel_exporter_otlp_endpoint=asked,
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


def test_what_the_sdk_cannot_be_set_to_is_a_warning_and_nothing_is_traced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    settings = HostSettings(otel_exporter_otlp_endpoint=Secret("http://127.0.0.1:1"))

    assert make_tracing(settings, "manmanv2-host") is None
    assert "OTEL_" in caplog.text


def test_the_standard_variables_name_the_service_and_more(
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
def test_an_endpoint_that_is_no_url_is_one_sentence(
    settings: type[ApiSettings | HostSettings], url: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.load({"OTEL_EXPORTER_OTLP_ENDPOINT": url})

    assert str(refused.value) == (
        "OTEL_EXPORTER_OTLP_ENDPOINT: must be http://HOST:PORT or https://HOST:PORT."
    )


@pytest.mark.parametrize(
    ("variables", "where"),
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
def test_where_traces_go_follows_from_the_standard_variables(
    variables: dict[str, str], where: str | None
) -> None:
    collector = HostSettings.load(variables).collector

    assert (collector.url if collector else None) == where
