"""A trace collector built from the protocol's messages only, without our code."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.support.canary_secrets import leak_detector


@dataclass(frozen=True)
class Collected:
    """A span. `process` differs for each process that exports."""

    service: str
    process: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    # Empty for the root span of a trace.
    parent_id: str
    links: frozenset[str]
    attributes: dict[str, Any]
    failed: bool

    @property
    def trace_parent(self) -> str:
        """The beginning of a traceparent header for this span, without the flags."""
        return f"00-{self.trace_id}-{self.span_id}-"


class Collector:
    """Listens on loopback and answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.answers = 0
        self.spans: list[Collected] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
            # Tests wait for spans.
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def named(self, name: str, service: str = "") -> list[Collected]:
        """The spans of this name, oldest first."""
        return [span for span in list(self.spans) if span.name == name and service in span.service]

    def below(self, parent: Collected) -> list[Collected]:
        return [span for span in list(self.spans) if span.parent_id == parent.span_id]

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces" and collector.status == 200:
                    collector._take(ExportTraceServiceRequest.FromString(body))
                self.send_response(collector.status if self.path == "/v1/traces" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                collector.answers += 1

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _take(self, request: ExportTraceServiceRequest) -> None:
        leak_detector.check("in a span", request)
        for of_a_process in request.resource_spans:
            resource = _attributes(of_a_process.resource.attributes)
            for of_a_scope in of_a_process.scope_spans:
                self.spans += [_collected(span, resource) for span in of_a_scope.spans]


@contextmanager
def running_collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.run)
    thread.start()
    try:
        yield collector
    finally:
        collector.close()
        thread.join()


def _collected(span: trace_pb2.Span, resource: dict[str, Any]) -> Collected:
    return Collected(
        service=resource["service.name"],
        process=resource["service.instance.id"],
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=frozenset(link.span_id.hex() for link in span.links),
        attributes=_attributes(span.attributes),
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
