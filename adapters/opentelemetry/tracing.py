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
# How long the last spans may hold up the end of a process.
_LAST_SPANS_SECONDS = 1.5


class Tracing:
    """The spans of one process. What else there is to set, the SDK reads from OTEL_* itself.

    What an exception says never becomes part of a span: it may hold what is secret.
    """

    def __init__(self, processor: SpanProcessor, service: str, version: str) -> None:
        # Ended by us: the SDK's own end waits for half a minute for a collector that is away.
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
        """What is done within; without a parent it begins a trace of its own."""
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
                # Who serves has done what it should when it refuses; who asks has failed.
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
        """What is done for all of them at once: it is linked to them, and a child of one who is
        `alone`. When the traces of none of them are recorded, neither is this.
        """
        links = [
            Link(caller) for caller in map(_span_context, callers) if caller.trace_flags.sampled
        ]
        parent = callers[0] if callers and (alone or not links) else None
        return self.span(name, kind, attributes, parent=parent, links=links)

    def close(self) -> None:
        """Send what has ended, for as long as that may take."""
        # Its thread waits for a collector that hangs, and ends with the process.
        sending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        sending.start()
        sending.join(_LAST_SPANS_SECONDS)


def trace_parent_of(span: Span) -> str:
    carrier: dict[str, str] = {}
    _WIRE.inject(carrier, set_span_in_context(span, Context()))
    return carrier[TRACE_PARENT]


def context_of(trace_parent: str) -> Context:
    """Empty for what is no traceparent."""
    return _WIRE.extract({TRACE_PARENT: trace_parent}, Context())


def current_callers() -> Sequence[Context]:
    return [context_of(trace_parent) for trace_parent in calling_trace_parents.get()]


def _span_context(context: Context) -> SpanContext:
    return get_current_span(context).get_span_context()


def _resource(service: str, version: str) -> Resource:
    given = OTELResourceDetector().detect().attributes
    return Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version, **given})
