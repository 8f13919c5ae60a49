import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from opentelemetry.trace import SpanKind, StatusCode

from adapters.opentelemetry.tracing import Tracing, context_of
from application.context.trace_context import TRACE_PARENT

if TYPE_CHECKING:
    # Generic in its stubs only.
    Handler = grpc.RpcMethodHandler[Any, Any]

_STATUS_CODE = "rpc.grpc.status_code"
# Those that say that the server failed; all others blame the call.
_SERVERS_FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}


class ServedCalls(grpc.aio.ServerInterceptor):
    """A span for each call that a gRPC server answers, but for those of gRPC's own services."""

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
            sent = dict(context.invocation_metadata() or ())
            parent = context_of(str(sent.get(TRACE_PARENT, "")))
            refused = None
            with self._tracing.span(method[1:], SpanKind.SERVER, attributes, parent=parent) as span:
                try:
                    answer = await call(request, context)
                    span.set_attribute(_STATUS_CODE, 0)
                    return answer
                except asyncio.CancelledError:
                    span.set_attribute(_STATUS_CODE, grpc.StatusCode.CANCELLED.value[0])
                    raise
                except grpc.aio.AbortError as error:
                    refused = error
                    code: grpc.StatusCode = context.code()
                    span.set_attribute(_STATUS_CODE, code.value[0])
                    if code in _SERVERS_FAULTS:
                        # What a client is told holds no secret.
                        span.set_status(StatusCode.ERROR, context.details())
            # Behind the span, which would take it for a failure.
            raise refused

        return grpc.stream_unary_rpc_method_handler(
            traced, handler.request_deserializer, handler.response_serializer
        )
