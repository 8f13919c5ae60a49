"""Traces from a host through the API to the store and to subscribers."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pika
import pytest

from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.canary_secrets import canary
from tests.support.collector import Collected, Collector, running_collector
from tests.support.event_subscriber import EventSubscriber, channel
from tests.support.processes import Api, Process, client, eventually, free_address, servers

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

KEY = canary("registration key")
PATIENT = {"HEARTBEAT_INTERVAL_SECONDS": "600"}
SERVED = "manman.v1.ManManAPI/"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


def one(collector: Collector, name: str, *processes: Process) -> Collected:
    return eventually(lambda: collector.named(name), f"a span {name}", *processes)[0]


def below(
    collector: Collector, parent: Collected, name: str, *processes: Process
) -> list[Collected]:
    """Wait for child spans of this name below the other span, and return them."""
    return eventually(
        lambda: [span for span in collector.below(parent) if span.name == name],
        f"{name} below {parent.name}",
        *processes,
    )


def test_one_trace_leads_from_a_host_to_the_store_and_to_subscribers(
    postgres_url: str,
    rabbitmq_url: str,
    collector: Collector,
    start_api: StartApi,
    start_host: StartHost,
) -> None:
    subscriber = EventSubscriber(rabbitmq_url)
    traced = {**collector.variables, "RABBITMQ_URL": rabbitmq_url, "REGISTRATION_KEY": KEY}
    api = start_api(postgres_url, **traced)
    host = start_host(api.address, SERVER_NAME="box", **traced)
    eventually(lambda: len(subscriber.listen()) == 2, "both events", api, host)
    registers = one(collector, "register", api, host)
    [served] = below(collector, registers, f"{SERVED}RegisterServer", api, host)
    [inserted] = below(collector, served, "INSERT", api, host)[:1]
    eventually(lambda: len(collector.named("send external")) == 2, "both producers", api)
    published = below(collector, served, "send external")

    assert (registers.service, registers.kind) == ("manmanv2-host", "CLIENT")
    assert registers.parent_id == ""
    assert registers.attributes == {"manmanv2.server_name": "box"}
    assert (served.service, served.kind, served.failed) == ("manmanv2-api", "SERVER", False)
    assert served.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "manman.v1.ManManAPI",
        "rpc.method": "RegisterServer",
        "rpc.grpc.status_code": 0,
    }
    assert (inserted.kind, inserted.attributes["db.system.name"]) == ("CLIENT", "postgresql")
    # The same text for every server: without parameters, and without the comment for PostgreSQL.
    assert inserted.attributes["db.query.text"] == (
        "INSERT INTO servers (name) VALUES (%(name)s) ON CONFLICT DO NOTHING"
        " RETURNING servers.server_id"
    )
    assert [span.attributes["manmanv2.event"] for span in published] == ["registered", "online"]
    assert {span.kind for span in published} == {"PRODUCER"}
    for event, span in zip(subscriber.received, published, strict=True):
        assert event.trace_parent.startswith(span.trace_parent)
        assert event.message_id == span.attributes["messaging.message.id"]
    assert {span.trace_id for span in (registers, served, inserted, *published)} == {
        registers.trace_id
    }


def test_heartbeats_written_together_are_linked_to_that_write(
    postgres_url: str, collector: Collector, start_api: StartApi
) -> None:
    api = start_api(postgres_url, **PATIENT, **collector.variables)
    with client(api.address) as stub:
        for number in range(40):
            stub.RegisterServer(pb.RegisterServerRequest(name=f"box-{number}"))
    senders = [f"{number + 1:016x}" for number in range(40)]
    with grpc.insecure_channel(api.address) as channel:
        stub = ManManAPIStub(channel)
        calls = [
            stub.Heartbeat.future(
                pb.HeartbeatRequest(server_id=number + 1),
                metadata=(("traceparent", f"00-{number + 1:032x}-{sender}-01"),),
                timeout=120,
            )
            for number, sender in enumerate(senders)
        ]
        assert all(call.result().acknowledged for call in calls)
    eventually(lambda: len(collector.named(f"{SERVED}Heartbeat")) == 40, "their spans", api)
    eventually(
        lambda: sum(len(span.links) for span in collector.named("record heartbeats")) == 40,
        "the writes",
        api,
    )
    served = collector.named(f"{SERVED}Heartbeat")
    writes = collector.named("record heartbeats")
    together = [span for span in writes if len(span.links) > 1]

    assert sorted(span.parent_id for span in served) == senders
    assert frozenset.union(*(span.links for span in writes)) == {span.span_id for span in served}
    assert together
    for write in together:
        # A batch belongs to many traces, so its span has links and no parent.
        assert write.parent_id == ""
        assert write.attributes == {"manmanv2.heartbeats": len(write.links)}
        assert below(collector, write, "UPDATE", api)


def test_a_heartbeat_written_alone_is_one_trace_up_to_its_event(
    postgres_url: str,
    rabbitmq_url: str,
    collector: Collector,
    start_api: StartApi,
    start_host: StartHost,
) -> None:
    subscriber = EventSubscriber(rabbitmq_url)
    api = start_api(postgres_url, RABBITMQ_URL=rabbitmq_url, **PATIENT, **collector.variables)
    host = start_host(api.address, SERVER_NAME="box", **collector.variables)
    host.wait_until_logged("Registered")
    assert host.terminate() == 0
    eventually(lambda: "offline" in subscriber.kinds(1), "its leaving heartbeat", api, host)
    leaving = one(collector, "leaving heartbeat", api, host)
    [served] = below(collector, leaving, f"{SERVED}Heartbeat", api)
    [write] = below(collector, served, "record heartbeats", api)
    [sent] = below(collector, write, "send external", api)

    # Spans that were not exported yet are exported at the end.
    assert leaving.service == "manmanv2-host"
    assert write.links == {served.span_id}
    assert subscriber.received[-1].trace_parent.startswith(sent.trace_parent)
    assert sent.trace_id == leaving.trace_id


def test_a_trace_leads_over_amqp_too(
    postgres_url: str,
    rabbitmq_url: str,
    collector: Collector,
    start_api: StartApi,
    start_host: StartHost,
    tmp_path: Path,
) -> None:
    subscriber = EventSubscriber(rabbitmq_url)
    traced = {**collector.variables, "RABBITMQ_URL": rabbitmq_url, "REGISTRATION_KEY": KEY}
    api = start_api(postgres_url, **traced)
    with client(api.address) as stub:
        stub.CreateServer(pb.CreateServerRequest(name="box"))
        stub.PutConfiguration(pb.PutConfigurationRequest(server_id=1, name="a", document="{}"))
    for queue in ("manman.calls", "manman.reports"):
        api.wait_until_logged(f"Listening for messages from {queue}.")
    host = start_host(
        None, TRANSPORT="amqp", SERVER_NAME="box", CONFIG_DIR=str(tmp_path / "config"), **traced
    )
    registers = one(collector, "register", api, host)
    fetches = one(collector, "fetch configuration", api, host)
    beats = one(collector, "heartbeat", api, host)
    [joined] = below(collector, registers, "process manman.calls", api, host)
    [fetched] = below(collector, fetches, "process manman.calls", api, host)
    [event] = below(collector, beats, "process manman.reports", api, host)
    eventually(lambda: "online" in subscriber.kinds(1), "the event", api)
    sent = below(collector, joined, "send external", api)

    assert {joined.kind, fetched.kind, event.kind} == {"CONSUMER"}
    assert event.links == {beats.span_id}
    assert event.attributes == {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "process",
        "messaging.destination.name": "manman.reports",
        "messaging.batch.message_count": 1,
    }
    assert below(collector, joined, "UPDATE", api)
    assert below(collector, fetched, "SELECT", api)
    assert below(collector, event, "UPDATE", api)
    [online] = [each for each in subscriber.received if each.kind == "online"]
    assert any(online.trace_parent.startswith(span.trace_parent) for span in sent)
    assert online.trace_parent.split("-")[1] == registers.trace_id


def test_a_dead_letter_keeps_its_senders_traceparent(
    rabbitmq_url: str, start_api: StartApi
) -> None:
    api = start_api("memory://", RABBITMQ_URL=rabbitmq_url)
    trace_parent = f"00-{1:032x}-{2:016x}-01"
    sent: list[dict[str, Any]] = [
        {"traceparent": trace_parent},
        {},
        {"traceparent": 7},
        {"traceparent": "nonsense"},
        {"traceparent": b"\xff\xfe"},
    ]
    letters: list[dict[str, Any]] = []
    api.wait_until_logged("Listening for messages from manman.reports.")
    with channel(rabbitmq_url) as foreign:
        for headers in sent:
            foreign.basic_publish(
                *("manman", "health.host.1", b"no JSON"), pika.BasicProperties(headers=headers)
            )

        def all_are_kept() -> bool:
            method, properties, _ = foreign.basic_get("manman.dead-letters", auto_ack=True)
            if method:
                letters.append(properties.headers)
            return len(letters) == len(sent)

        eventually(all_are_kept, "dead letters", api)

    assert [headers["reason"] for headers in letters] == ["the body is not JSON"] * len(sent)
    assert [headers.get("traceparent") for headers in letters] == [trace_parent, *[None] * 4]


def test_sweeps_that_find_nothing_leave_no_trace(
    postgres_url: str, rabbitmq_url: str, collector: Collector, start_api: StartApi
) -> None:
    subscriber = EventSubscriber(rabbitmq_url)
    api = start_api(postgres_url, RABBITMQ_URL=rabbitmq_url, **collector.variables)
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="box"))
    eventually(lambda: "stale" in subscriber.kinds(1), "silence", api)
    [expired] = eventually(lambda: collector.named("expire servers"), "the look", api)
    [sent] = below(collector, expired, "send external", api)
    api.terminate()
    relays = collector.named("relay events")

    assert expired.attributes == {"manmanv2.servers_expired": 1}
    assert subscriber.received[-1].trace_parent.startswith(sent.trace_parent)
    assert sum(span.attributes["manmanv2.events"] for span in relays) == 3
    # Only spans of a request, and the one sweep that found an expired server.
    begun = {span.name for span in collector.spans if not span.parent_id}
    assert begun == {f"{SERVED}RegisterServer", "expire servers", "relay events"}


def test_each_worker_sends_its_own_spans(
    postgres_url: str, collector: Collector, start_api: StartApi
) -> None:
    api = start_api(
        postgres_url, address=free_address(), API_WORKERS="2", **PATIENT, **collector.variables
    )
    eventually(lambda: api.count("Serving on") == 2, "both workers", api)

    def processes() -> set[str]:
        servers(api.address)
        return {span.process for span in collector.named(f"{SERVED}ListServers")}

    assert eventually(lambda: len(processes()) == 2, "spans of both", api)
    assert api.terminate() == 0


def test_log_lines_name_the_trace_that_they_belong_to(
    collector: Collector, start_api: StartApi, start_host: StartHost
) -> None:
    api = start_api("memory://", LOG_LEVEL="debug", **collector.variables)
    host = start_host(api.address, **collector.variables)
    served = one(collector, f"{SERVED}RegisterServer", api, host)
    api.wait_until_logged("RegisterServer: OK")
    [line] = [event for event in api.events if "RegisterServer: OK" in event["event"]]
    lost = start_host(free_address(), **collector.variables)
    lost.wait_until_logged("is not there")
    [warning] = [event for event in lost.events if "is not there" in event["event"]]
    failed = eventually(
        lambda: [span for span in collector.named("register") if span.failed], "its span", lost
    )

    assert (line["trace_id"], line["span_id"]) == (served.trace_id, served.span_id)
    assert (warning["trace_id"], warning["span_id"]) == (failed[0].trace_id, failed[0].span_id)
    assert failed[0].attributes["error.type"] == "ControlPlaneUnavailable"
    assert not any("trace_id" in event for event in api.events if "Serving on" in event["event"])


@pytest.mark.parametrize("collector_is", ["gone", "silent"])
def test_a_missing_collector_is_one_log_line(
    postgres_url: str, start_api: StartApi, start_host: StartHost, collector_is: str
) -> None:
    with ExitStack() as stack:
        address = free_address()
        if collector_is == "silent":
            # The kernel accepts connections, and no program ever answers.
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            address = f"127.0.0.1:{silent.getsockname()[1]}"
        away = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        api = start_api(postgres_url, **away)
        host = start_host(api.address, SERVER_NAME="box", **away)
        message = f"The collector at {address} (OTEL_EXPORTER_OTLP_ENDPOINT) cannot be reached"
        api.wait_until_logged(message)
        host.wait_until_logged(message)
        first = servers(api.address)["box"].last_seen
        eventually(lambda: servers(api.address)["box"].last_seen > first + 3, "heartbeats", api)

        assert host.terminate() == 0
        assert servers(api.address)["box"].status == "offline"
        assert api.terminate() == 0
        for process in (api, host):
            assert process.count(message) == process.count("Spans are dropped") == 1
            assert not any("Traceback" in str(event) for event in process.events)
            assert not process.logged("giving up the calls")
            assert {event["level"] for event in process.events} <= {"info", "warning"}


def test_a_collector_that_hangs_does_not_delay_the_stop(
    postgres_url: str, start_api: StartApi, start_host: StartHost
) -> None:
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        hanging = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            # Longer than this test waits.
            "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        api = start_api(postgres_url, **hanging)
        host = start_host(api.address, SERVER_NAME="box", **hanging)
        for _ in (api, host):
            # Both processes have spans to export.
            stack.enter_context(silent.accept()[0])

        assert host.terminate() == 0
        assert servers(api.address)["box"].status == "offline"
        assert api.terminate() == 0
        assert api.logged("Stopped")
        assert not api.logged("giving up the calls")


@pytest.fixture
def without_opentelemetry(tmp_path: Path) -> dict[str, str]:
    """The variables of a process that cannot import OpenTelemetry."""
    (tmp_path / "hidden" / "opentelemetry").mkdir(parents=True)
    (tmp_path / "hidden" / "opentelemetry" / "__init__.py").touch()
    return {"PYTHONPATH": str(tmp_path / "hidden")}


@pytest.mark.cold_start
def test_traces_without_the_library_are_one_warning(
    postgres_url: str,
    without_opentelemetry: dict[str, str],
    start_api: StartApi,
    start_host: StartHost,
) -> None:
    asked = {**without_opentelemetry, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/t"}
    api = start_api(postgres_url, address=free_address(), API_WORKERS="2", **asked)
    host = start_host(api.address, SERVER_NAME="box", **asked)
    host.wait_until_logged("Registered")

    for process in (api, host):
        warnings = [event["event"] for event in process.events if "OpenTel" in event["event"]]
        assert len(warnings) == 1
        assert warnings[0].startswith("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, but")
        assert "install manmanv2[otel]" in warnings[0]
