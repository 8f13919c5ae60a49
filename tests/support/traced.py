"""Collects the spans of a test."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.opentelemetry.api_traces import ApiTraces
from adapters.opentelemetry.tracing import Tracing
from tests.support.canary_secrets import leak_detector

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


UNSAMPLED = "00-1bf7651916cd43dd8448eb211c80319c-c7ad6b7169203331-00"


class Traced:
    """Tracing with an in-memory exporter, and the finished spans."""

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
