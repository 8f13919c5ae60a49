import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from opentelemetry.trace import SpanKind, StatusCode

from adapters.opentelemetry.tracing import Tracing, context_of
from application.context.trace_context import TRACE_PARENT

if TYPE_CHECKING:
    # Generic only in its stubs.
    Handler = grpc.RpcMethodHandler[Any, Any]

_STATUS_CODE = "rpc.grpc.status_code"
# These codes mean that the server failed; all others blame the call.
_SERVER_ERRORS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}


class TracingInterceptor(grpc.aio.ServerInterceptor):
    """A span for each call that the server answers, except those of gRPC's own services."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._traced: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or handler.stream_unary is None or method.startswith("/grpc."):
            return handler
        if method not in self._traced:
            self._traced[method] = self._trace(method, handler)
        return self._traced[method]

    def _trace(self, method: str, handler: "Handler") -> "Handler":
        service, _, name = method[1:].partition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
        call: Any = handler.stream_unary

        async def traced(request: Any, context: Any) -> Any:
            metadata = dict(context.invocation_metadata() or ())
            parent = context_of(str(metadata.get(TRACE_PARENT, "")))
            abort = None
            with self._tracing.span(method[1:], SpanKind.SERVER, attributes, parent=parent) as span:
                try:
                    answer = await call(request, context)
                    span.set_attribute(_STATUS_CODE, 0)
                    return answer
                except asyncio.CancelledError:
                    span.set_attribute(_STATUS_CODE, grpc.StatusCode.CANCELLED.value[0])
                    raise
                except grpc.aio.AbortError as error:
                    abort = error
                    code: grpc.StatusCode = context.code()
                    span.set_attribute(_STATUS_CODE, code.value[0])
                    if code in _SERVER_ERRORS:
                        # The error text of a client contains no secret.
                        span.set_status(StatusCode.ERROR, context.details())
            # Raised outside the span, which would record it as a failure.
            raise abort

        return grpc.stream_unary_rpc_method_handler(
            traced, handler.request_deserializer, handler.response_serializer
        )
