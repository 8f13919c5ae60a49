import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from adapters.grpc.messages.metadata import REQUEST_ID, STATUS_DETAILS, UNIX_TIME
from adapters.grpc.server.error_codes import (
    MalformedRequest,
    RequestTooLarge,
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
from adapters.grpc.server.permissions import CALL_RULES, SERVICE, CallRule
from adapters.grpc.server.refusal_delay import RefusalDelay
from adapters.grpc.server.request_bodies import RequestBodies
from application.context.request_id import current_request_id, request_id_or_new
from domain.errors import RoleTooLow, TooManyCalls
from domain.operator_key import Operator

_log = logging.getLogger(__name__)

# A configuration document has at most 256 KiB, everything else much less.
_MAX_REQUEST_BYTES = 1024 * 1024

# To ask a code for its name costs more than to remember it.
_OK, _LATE, _CANCELLED = (
    code.name
    for code in (
        grpc.StatusCode.OK,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    )
)

_Metadata = Iterable[tuple[str, str | bytes]]
_Parse = Callable[[bytes], Message]
_Call = Callable[[Any], Awaitable[Message]]
# With the body, the peer and the metadata.
_OperatorsCall = Callable[[bytes, str, _Metadata], Awaitable[Message]]
# The service, the method, the code by name, and the seconds from the call to its answer.
Handled = Callable[[str, str, str, float], None]


class CallAudit(Protocol):
    """Hears what operators do."""

    async def attempted(self, operator: Operator, method_name: str, request: Message) -> None:
        """Before a call is made that changes something. When this raises, it is not made."""
        ...

    async def refused(
        self, operator: Operator, method_name: str, request: Message | None, error_text: str
    ) -> None:
        """After such a call failed, and after any call for which the operator's role is too low;
        None for a request that is not the message that it should be."""
        ...


class NoAudit:
    async def attempted(self, operator: Operator, method_name: str, request: Message) -> None:
        pass

    async def refused(
        self, operator: Operator, method_name: str, request: Message | None, error_text: str
    ) -> None:
        pass


def handlers(
    services: Sequence[object],
    operators: OperatorAuthenticator,
    in_flight_calls: InFlightCalls,
    handled: Handled = lambda *_: None,
    audit: CallAudit | None = None,
    bodies: RequestBodies | None = None,
    refusal_delay: RefusalDelay | None = None,
    trust_domain: str = "",
) -> grpc.GenericRpcHandler:
    """The contract as gRPC takes it: each call is a method of one of the services, guarded by its
    rule; `handled` hears of each. With a trust domain callers are known by their certificates.

    Requests arrive as bytes and are parsed here, because a body that gRPC cannot parse would
    be answered by it as the server's own failure. They are read here, too, as a stream of one,
    which is the same on the wire: gRPC would wait for a body for ever.
    """
    bodies, refusal_delay = bodies or RequestBodies(), refusal_delay or RefusalDelay()
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method in SERVICE.methods:
        parse = _parse_of(method)
        call = _call_of(services, method.name)
        rule = CALL_RULES[method.name]
        operators_call = None
        if not rule.is_of_hosts:
            operators_call = _identified(
                method.name, rule, parse, call, operators, audit or NoAudit()
            )
        guarded = _guarded(
            method.name,
            parse,
            call,
            operators_call,
            in_flight_calls,
            handled,
            bodies,
            refusal_delay,
            trust_domain,
        )
        methods[method.name] = grpc.stream_unary_rpc_method_handler(
            guarded,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
    return grpc.method_handlers_generic_handler(SERVICE.full_name, methods)


def _call_of(services: Sequence[object], name: str) -> _Call:
    [call] = [getattr(service, name) for service in services if hasattr(service, name)]
    return call  # type: ignore[no-any-return]  # a method of each call is what services have


def _parse_of(method: MethodDescriptor) -> _Parse:
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


def _identified(
    name: str,
    rule: CallRule,
    parse: _Parse,
    call: _Call,
    operators: OperatorAuthenticator,
    audit: CallAudit,
) -> _OperatorsCall:
    """The call for an operator whose role is high enough. Of anybody else's no byte of the body is
    parsed, but what a known operator may not do is noted with what it is about."""

    async def identified(body: bytes, peer: str, metadata: _Metadata) -> Message:
        operator = await operators.identify(peer, metadata)
        try:
            rule.check(operator.role)
        except RoleTooLow as error:
            await audit.refused(operator, name, _if_parsed(parse, body), message_of(error))
            raise
        current_operator.set(operator)
        request = parse(body)
        if not rule.changes:
            return await call(request)
        await audit.attempted(operator, name, request)
        try:
            return await call(request)
        except Exception as error:
            await audit.refused(operator, name, request, message_of(error))
            raise

    return identified


def _if_parsed(parse: _Parse, body: bytes) -> Message | None:
    try:
        return parse(body)
    except (RequestTooLarge, MalformedRequest):
        return None


def _guarded(
    name: str,
    parse: _Parse,
    call: _Call,
    operators_call: _OperatorsCall | None,
    in_flight_calls: InFlightCalls,
    handled: Handled,
    bodies: RequestBodies,
    refusal_delay: RefusalDelay,
    trust_domain: str,
) -> Callable[[Any, Any], Awaitable[Message]]:
    # Of these nobody asks, and they are many.
    is_heartbeat = name == "Heartbeat"

    async def guarded(_: Any, context: Any) -> Message:
        start = time.perf_counter()
        metadata = context.invocation_metadata() or ()
        request_id = request_id_or_new(_sent(metadata, REQUEST_ID))
        current_request_id.set(request_id)
        if not is_heartbeat:
            caller_address.set(address_of(context.peer()))
        if trust_domain:
            certified_caller.set(certified_of(context.auth_context(), trust_domain))
        try:
            body = await bodies.read(context)
            start = time.perf_counter()
            with in_flight_calls:
                answer = await (
                    operators_call(body, context.peer(), metadata)
                    if operators_call
                    else call(parse(body))
                )
            _tell(handled, name, _OK, time.perf_counter() - start)
            return answer
        except grpc.aio.AbortError:
            # Its body is late, and it was told so.
            _tell(handled, name, _LATE, time.perf_counter() - start)
            raise
        except asyncio.CancelledError:
            # Whoever called has given up.
            _tell(handled, name, _CANCELLED, time.perf_counter() - start)
            raise
        except Exception as error:  # noqa: BLE001 - nothing may reach a client untranslated
            code, status = status_of(error, name)
            is_too_often = isinstance(error, TooManyCalls)
        _tell(handled, name, code.name, time.perf_counter() - start)
        if is_too_often:
            await refusal_delay.hold()
        return await context.abort(  # type: ignore[no-any-return]  # it always raises
            code,
            status.message,
            trailing_metadata=(
                (STATUS_DETAILS, status.SerializeToString()),
                (REQUEST_ID, request_id),
                (UNIX_TIME, f"{time.time():.3f}"),
            ),
        )

    return guarded


def _tell(handled: Handled, name: str, code_name: str, seconds: float) -> None:
    handled(SERVICE.full_name, name, code_name, seconds)
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s: %s after %.1f ms", name, code_name, 1000 * seconds)


def _sent(metadata: _Metadata, wanted: str) -> str:
    for name, value in metadata:
        if name == wanted:
            return str(value)
    return ""
