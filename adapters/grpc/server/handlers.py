"""The wire contract as gRPC handlers: each call is a method of a service in a chain of wrappers.

There is a wrapper for each concern. From the outside in: the answer to an error, metrics, the
caller, the body, draining, and for operators' calls their role and the audit.

Requests arrive as bytes and are parsed here, because gRPC would answer a body that it cannot parse
as the server's own failure. They are also read here, as a stream of one message, which is the same
on the wire: gRPC would wait for a body without a limit.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from adapters.grpc.messages.metadata import REQUEST_ID, STATUS_DETAILS, UNIX_TIME
from adapters.grpc.server.call_audit import CallAudit
from adapters.grpc.server.error_codes import (
    MalformedRequest,
    RequestTooLarge,
    code_of,
    message_of,
    status_of,
)
from adapters.grpc.server.in_flight_calls import InFlightCalls
from adapters.grpc.server.operator_authenticator import OperatorAuthenticator
from adapters.grpc.server.peer import (
    address_of,
    caller_address,
    certified_caller,
    certified_of,
    current_operator,
)
from adapters.grpc.server.permissions import PERMISSIONS, SERVICE, Permission
from adapters.grpc.server.refusal_delay import RefusalDelay
from adapters.grpc.server.request_bodies import RequestBodies
from application.context.request_id import current_request_id, request_id_or_new
from domain.errors import RoleTooLow, TooManyCalls

_log = logging.getLogger(__name__)

# A configuration document has at most 256 KiB, everything else much less.
_MAX_REQUEST_BYTES = 1024 * 1024

# Looking up the name of a code costs more than keeping it.
_OK, _CANCELLED, _DEADLINE_EXCEEDED = (
    code.name
    for code in (
        grpc.StatusCode.OK,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )
)

_Metadata = Iterable[tuple[str, str | bytes]]
_Parse = Callable[[bytes], Message]
_Method = Callable[[Any], Awaitable[Message]]
# Gets the service, the method, the code by name, and the seconds from the body to the answer.
OnHandled = Callable[[str, str, str, float], None]


class _Call:
    """A call on its way through the wrappers."""

    __slots__ = ("body", "context", "metadata", "request_id", "started_at")

    def __init__(self, context: Any) -> None:
        self.context = context
        self.metadata: _Metadata = context.invocation_metadata() or ()
        self.request_id = request_id_or_new(_metadata_value(self.metadata, REQUEST_ID))
        self.body = b""
        self.started_at = time.perf_counter()


_Handle = Callable[[_Call], Awaitable[Message]]


def handlers(
    services: Sequence[object],
    operators: OperatorAuthenticator,
    in_flight_calls: InFlightCalls,
    on_handled: OnHandled,
    audit: CallAudit,
    bodies: RequestBodies,
    refusal_delay: RefusalDelay,
    trust_domain: str,
) -> grpc.GenericRpcHandler:
    """`trust_domain` is empty if the API identifies no caller by a certificate."""

    def chain(method: MethodDescriptor) -> Callable[[Any, Any], Awaitable[Message]]:
        name, rule, parse = method.name, PERMISSIONS[method.name], _parser_of(method)
        handle = _parsed(_method_of(services, name), parse)
        if rule.changes:
            handle = _audited(_method_of(services, name), parse, name, audit)
        if rule.role:
            handle = _authorized(handle, parse, name, rule, operators, audit)
        handle = _drained(handle, in_flight_calls)
        handle = _read(handle, bodies)
        # No heartbeat needs its caller's address, and heartbeats are many.
        handle = _with_caller(handle, trust_domain, needs_address=name != "Heartbeat")
        handle = _measured(handle, name, on_handled)
        return _answered(handle, name, refusal_delay)

    return grpc.method_handlers_generic_handler(
        SERVICE.full_name,
        {
            method.name: grpc.stream_unary_rpc_method_handler(
                chain(method),
                response_serializer=GetMessageClass(method.output_type).SerializeToString,
            )
            for method in SERVICE.methods
        },
    )


def _answered(
    handle: _Handle, name: str, refusal_delay: RefusalDelay
) -> Callable[[Any, Any], Awaitable[Message]]:
    """Answers an error by its code; the answer to too many calls waits for a moment."""

    async def answered(_: Any, context: Any) -> Message:
        call = _Call(context)
        try:
            return await handle(call)
        except grpc.aio.AbortError:
            # Its body is late, and has been refused already.
            raise
        except Exception as error:  # noqa: BLE001 - nothing may reach a client untranslated
            code, status = status_of(error, name)
            is_delayed = isinstance(error, TooManyCalls)
        if is_delayed:
            await refusal_delay.hold()
        return await context.abort(  # type: ignore[no-any-return]  # it always raises
            code,
            status.message,
            trailing_metadata=(
                (STATUS_DETAILS, status.SerializeToString()),
                (REQUEST_ID, call.request_id),
                (UNIX_TIME, f"{time.time():.3f}"),
            ),
        )

    return answered


def _measured(handle: _Handle, name: str, on_handled: OnHandled) -> _Handle:
    async def measured(call: _Call) -> Message:
        try:
            answer = await handle(call)
        except (Exception, asyncio.CancelledError) as error:
            _record(on_handled, name, _code_name(error), call.started_at)
            raise
        _record(on_handled, name, _OK, call.started_at)
        return answer

    return measured


def _with_caller(handle: _Handle, trust_domain: str, *, needs_address: bool) -> _Handle:
    """Sets the context variables that say which call this is and who makes it."""

    def with_caller(call: _Call) -> Awaitable[Message]:
        current_request_id.set(call.request_id)
        if needs_address:
            caller_address.set(address_of(call.context.peer()))
        if trust_domain:
            certified_caller.set(certified_of(call.context.auth_context(), trust_domain))
        return handle(call)

    return with_caller


def _read(handle: _Handle, bodies: RequestBodies) -> _Handle:
    """Waits for the body; only what follows counts as the time that the call took."""

    async def read(call: _Call) -> Message:
        call.body = await bodies.read(call.context)
        call.started_at = time.perf_counter()
        return await handle(call)

    return read


def _drained(handle: _Handle, in_flight_calls: InFlightCalls) -> _Handle:
    async def drained(call: _Call) -> Message:
        with in_flight_calls:
            return await handle(call)

    return drained


def _authorized(
    handle: _Handle,
    parse: _Parse,
    name: str,
    rule: Permission,
    operators: OperatorAuthenticator,
    audit: CallAudit,
) -> _Handle:
    """Admits operators whose role is high enough. A body from anybody else is not parsed, except
    to record what an operator with too low a role tried."""

    async def authorized(call: _Call) -> Message:
        operator = await operators.identify(call.context.peer(), call.metadata)
        try:
            rule.check(operator.role)
        except RoleTooLow as error:
            await audit.refused(operator, name, _if_parsed(parse, call.body), message_of(error))
            raise
        current_operator.set(operator)
        return await handle(call)

    return authorized


def _audited(method: _Method, parse: _Parse, name: str, audit: CallAudit) -> _Handle:
    async def audited(call: _Call) -> Message:
        operator, request = current_operator.get(), parse(call.body)
        await audit.attempted(operator, name, request)
        try:
            return await method(request)
        except Exception as error:
            await audit.refused(operator, name, request, message_of(error))
            raise

    return audited


def _parsed(method: _Method, parse: _Parse) -> _Handle:
    def parsed(call: _Call) -> Awaitable[Message]:
        return method(parse(call.body))

    return parsed


def _method_of(services: Sequence[object], name: str) -> _Method:
    [method] = [getattr(service, name) for service in services if hasattr(service, name)]
    return method  # type: ignore[no-any-return]  # services have a method for each call


def _parser_of(method: MethodDescriptor) -> _Parse:
    from_string = GetMessageClass(method.input_type).FromString
    message_name = method.input_type.full_name

    def parse(body: bytes) -> Message:
        """Raises RequestTooLarge, MalformedRequest."""
        if len(body) > _MAX_REQUEST_BYTES:
            raise RequestTooLarge(len(body), _MAX_REQUEST_BYTES)
        try:
            return from_string(body)
        except DecodeError:
            raise MalformedRequest(message_name) from None

    return parse


def _if_parsed(parse: _Parse, body: bytes) -> Message | None:
    try:
        return parse(body)
    except (RequestTooLarge, MalformedRequest):
        return None


def _code_name(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        # The caller has given up.
        return _CANCELLED
    if isinstance(error, grpc.aio.AbortError):
        # Its body is late.
        return _DEADLINE_EXCEEDED
    return code_of(error).name


def _record(on_handled: OnHandled, name: str, code_name: str, started_at: float) -> None:
    seconds = time.perf_counter() - started_at
    on_handled(SERVICE.full_name, name, code_name, seconds)
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s: %s after %.1f ms", name, code_name, 1000 * seconds)


def _metadata_value(metadata: _Metadata, wanted: str) -> str:
    for name, value in metadata:
        if name == wanted:
            return str(value)
    return ""
