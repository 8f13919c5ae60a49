from typing import Any

from opentelemetry.semconv.attributes.db_attributes import (
    DB_OPERATION_NAME,
    DB_QUERY_TEXT,
    DB_RESPONSE_STATUS_CODE,
    DB_SYSTEM_NAME,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import SpanKind, StatusCode, Tracer, get_current_span
from sqlalchemy import Connection, Engine, ExceptionContext, ExecutionContext, event

_SPAN = "opentelemetry span"


def trace_statements(engine: Engine, tracer: Tracer) -> None:
    """Adds a span for each statement within a traced operation.

    The span has the text of the statement, and not its parameters, which may be secrets.
    """
    system = engine.dialect.name

    @event.listens_for(engine, "before_cursor_execute")
    def _begin(
        connection: Connection,
        _cursor: Any,
        _statement: str,
        _parameters: Any,
        context: ExecutionContext,
        _many: bool,
    ) -> None:
        if not get_current_span().is_recording():
            return
        # The text before other listeners changed it, for example added the id of a request.
        statement = context.statement or ""
        operation = statement.partition(" ")[0].upper()
        connection.info[_SPAN] = tracer.start_span(
            operation,
            kind=SpanKind.CLIENT,
            attributes={
                DB_SYSTEM_NAME: system,
                DB_OPERATION_NAME: operation,
                DB_QUERY_TEXT: statement,
            },
        )

    @event.listens_for(engine, "after_cursor_execute")
    def _end(connection: Connection, *_: Any) -> None:
        span = connection.info.pop(_SPAN, None)
        if span:
            span.end()

    @event.listens_for(engine, "handle_error")
    def _fail(failure: ExceptionContext) -> None:
        span = failure.connection and failure.connection.info.pop(_SPAN, None)
        if span:
            error = failure.original_exception
            span.set_attribute(ERROR_TYPE, type(error).__name__)
            # The code of PostgreSQL. Not its message, which may contain values.
            code = getattr(error, "pgcode", None)
            if code:
                span.set_attribute(DB_RESPONSE_STATUS_CODE, code)
            span.set_status(StatusCode.ERROR)
            span.end()
