"""Traces of a process of the API, by wrapping its parts."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

import grpc.aio
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, set_span_in_context
from sqlalchemy import Engine

from adapters.opentelemetry.server_interceptor import TracingInterceptor
from adapters.opentelemetry.statements import trace_statements
from adapters.opentelemetry.tracing import Tracing, context_of, current_callers, trace_parent_of
from application.context.trace_context import current_trace_parent
from application.ports.events import Events
from application.ports.store.outbox import RecordedEvent

P = ParamSpec("P")
Item = TypeVar("Item")
Answer = TypeVar("Answer")
Handle = Callable[[Sequence[Item]], Sequence[Answer]]

_EXTERNAL = "external"


@dataclass(frozen=True)
class ApiTraces:
    """Each method returns its argument, traced."""

    tracing: Tracing

    def interceptors(self) -> Sequence[grpc.aio.ServerInterceptor]:
        """For the gRPC server."""
        return (TracingInterceptor(self.tracing),)

    def engine(self, engine: Engine) -> Engine:
        trace_statements(engine, self.tracing.tracer)
        return engine

    def heartbeats(self, record: Handle[Item, Answer]) -> Handle[Item, Answer]:
        def traced(batch: Sequence[Item]) -> Sequence[Answer]:
            attributes = {"manmanv2.heartbeats": len(batch)}
            alone = len(batch) == 1
            with self.tracing.span_for(
                current_callers(), "record heartbeats", attributes=attributes, alone=alone
            ):
                return record(batch)

        return traced

    def messages(self, queue: str, handle: Handle[Item, Answer]) -> Handle[Item, Answer]:
        """`handle` gets the messages of the queue in batches."""

        def traced(batch: Sequence[Item]) -> Sequence[Answer]:
            if not batch:
                # A consumer checks whether the store is available.
                return handle(batch)
            attributes = {"messaging.batch.message_count": len(batch)}
            with self._process(queue, attributes, alone=len(batch) == 1):
                return handle(batch)

        return traced

    def message(self, queue: str, use_case: Callable[P, Answer]) -> Callable[P, Answer]:
        """`use_case` handles a single message of the queue."""

        def traced(*arguments: P.args, **options: P.kwargs) -> Answer:
            with self._process(queue, {}, alone=True):
                return use_case(*arguments, **options)

        return traced

    def events(self, events: Events) -> Events:
        return _TracedEvents(events, self.tracing)

    def sweep(self, expire: Callable[[], Collection[int]]) -> Callable[[], Collection[int]]:
        """Only sweeps that expire a server are traced, because there are several in an interval.

        Their statements run before that is known, and are therefore not traced.
        """

        def traced() -> Collection[int]:
            span = self.tracing.tracer.start_span("expire servers", Context())
            unrecorded = NonRecordingSpan(span.get_span_context())
            context = attach(set_span_in_context(unrecorded, Context()))
            trace_parent = current_trace_parent.set(trace_parent_of(span))
            try:
                expired = expire()
            finally:
                current_trace_parent.reset(trace_parent)
                detach(context)
            if expired:
                span.set_attribute("manmanv2.servers_expired", len(expired))
                span.end()
            return expired

        return traced

    def close(self) -> None:
        self.tracing.close()

    def _process(
        self, queue: str, count: dict[str, int], *, alone: bool
    ) -> AbstractContextManager[Span]:
        return self.tracing.span_for(
            current_callers(),
            f"process {queue}",
            SpanKind.CONSUMER,
            {
                "messaging.system": "rabbitmq",
                "messaging.operation.type": "process",
                "messaging.destination.name": queue,
                **count,
            },
            alone=alone,
        )


@dataclass(frozen=True)
class _TracedEvents:
    """Each event is published as part of the trace in which it happened."""

    _events: Events
    _tracing: Tracing

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        causes = [context_of(event.trace_parent) for event in events]
        attributes = {"manmanv2.events": len(events)}
        with self._tracing.span_for(causes, "relay events", attributes=attributes):
            spans = [
                self._tracing.tracer.start_span(
                    f"send {_EXTERNAL}",
                    cause,
                    SpanKind.PRODUCER,
                    {
                        "messaging.system": "rabbitmq",
                        "messaging.operation.type": "send",
                        "messaging.destination.name": _EXTERNAL,
                        "messaging.message.id": event.message_id,
                        "manmanv2.event": event.kind,
                        "manmanv2.server_id": event.server_id,
                    },
                )
                for event, cause in zip(events, causes, strict=True)
            ]
            self._events.publish(
                [
                    replace(event, trace_parent=trace_parent_of(span))
                    for event, span in zip(events, spans, strict=True)
                ]
            )
        # Not after a failure: a failed attempt is one span, however many events waited.
        for span in spans:
            span.end()
