import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from opentelemetry.context import Context
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from application.context.trace_context import (
    TRACE_PARENT,
    calling_trace_parents,
    current_trace_parent,
)
from domain.errors import ManManError

Attributes = Mapping[str, str | int]

_WIRE = TraceContextTextMapPropagator()
# How long sending the last spans may delay the end of a process.
_LAST_SPANS_TIMEOUT_SECONDS = 1.5


class Tracing:
    """The spans of one process. The SDK itself reads further settings from OTEL_* variables.

    The text of an exception never becomes part of a span, because it may contain a secret.
    """

    def __init__(self, processor: SpanProcessor, service: str, version: str) -> None:
        # We shut it down ourselves: the SDK would wait half a minute for a missing collector.
        self._provider = TracerProvider(
            resource=_resource(service, version), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self.tracer = self._provider.get_tracer("manmanv2", version)

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
        *,
        parent: Context | None = None,
        links: Sequence[Link] = (),
    ) -> Iterator[Span]:
        """A span for the block within; without a parent it begins a new trace."""
        with self.tracer.start_as_current_span(
            name,
            context=parent or Context(),
            kind=kind,
            attributes=attributes,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            before = current_trace_parent.set(trace_parent_of(span))
            try:
                yield span
            except Exception as error:
                span.set_attribute(ERROR_TYPE, type(error).__name__)
                # A refusal is a failure for the client that asks, but not for the server.
                if kind is SpanKind.CLIENT or not isinstance(error, ManManError):
                    span.set_status(StatusCode.ERROR)
                raise
            finally:
                current_trace_parent.reset(before)

    def span_for(
        self,
        callers: Sequence[Context],
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
        *,
        alone: bool = False,
    ) -> AbstractContextManager[Span]:
        """A span for work that is done for several callers at once.

        It is linked to all callers, and the child of a caller that is `alone`. If no trace of a
        caller is recorded, this span is not recorded either.
        """
        links = [
            Link(caller) for caller in map(_span_context, callers) if caller.trace_flags.sampled
        ]
        parent = callers[0] if callers and (alone or not links) else None
        return self.span(name, kind, attributes, parent=parent, links=links)

    def close(self) -> None:
        """Send the last spans, with a timeout."""
        # If the collector hangs, the thread continues and ends with the process.
        sending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        sending.start()
        sending.join(_LAST_SPANS_TIMEOUT_SECONDS)


def trace_parent_of(span: Span) -> str:
    carrier: dict[str, str] = {}
    _WIRE.inject(carrier, set_span_in_context(span, Context()))
    return carrier[TRACE_PARENT]


def context_of(trace_parent: str) -> Context:
    """Empty if the text is not a traceparent."""
    return _WIRE.extract({TRACE_PARENT: trace_parent}, Context())


def current_callers() -> Sequence[Context]:
    return [context_of(trace_parent) for trace_parent in calling_trace_parents.get()]


def _span_context(context: Context) -> SpanContext:
    return get_current_span(context).get_span_context()


def _resource(service: str, version: str) -> Resource:
    configured = OTELResourceDetector().detect().attributes
    return Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version, **configured})
