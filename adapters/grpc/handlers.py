import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from adapters.grpc.caller import address_of, caller_address
from adapters.grpc.errors import NotTheMessage, TooLarge, status_of
from adapters.grpc.gate import Gate
from adapters.grpc.metadata import REQUEST_ID, STATUS_DETAILS, UNIX_TIME
from adapters.grpc.operators import OperatorAccess
from application.request_id import current_request_id, request_id_or_new
from protos.manman.v1 import manman_pb2 as pb

_log = logging.getLogger(__name__)

SERVICE = pb.DESCRIPTOR.services_by_name["ManManAPI"]

# Every other call, and so every call that is added, is an operator's.
HOST_CALLS = frozenset({"RegisterServer", "Heartbeat", "FetchConfiguration", "Deregister"})

# A configuration document has at most 256 KiB, everything else much less.
_LARGEST_REQUEST_BYTES = 1024 * 1024

_Call = Callable[[Any], Awaitable[Message]]
# The service, the method, the code by name, and the seconds from the call to its answer.
Handled = Callable[[str, str, str, float], None]


def handlers(
    services: Sequence[object],
    operators: OperatorAccess,
    gate: Gate,
    handled: Handled = lambda *_: None,
) -> grpc.GenericRpcHandler:
    """The contract as gRPC takes it: each call is a method of one of the services, guarded;
    `handled` hears of each.

    Requests arrive as bytes and are parsed here, because a body that gRPC cannot parse would
    be answered by it as the server's own failure.
    """
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        method.name: grpc.unary_unary_rpc_method_handler(
            _guarded(
                method,
                _call_of(services, method.name),
                gate,
                None if method.name in HOST_CALLS else operators,
                handled,
            ),
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
        for method in SERVICE.methods
    }
    return grpc.method_handlers_generic_handler(SERVICE.full_name, methods)


def _call_of(services: Sequence[object], name: str) -> _Call:
    [call] = [getattr(service, name) for service in services if hasattr(service, name)]
    return call  # type: ignore[no-any-return]  # a method of each call is what services have


def _guarded(
    method: MethodDescriptor,
    call: _Call,
    gate: Gate,
    operators: OperatorAccess | None,
    handled: Handled,
) -> Callable[[bytes, Any], Awaitable[Message]]:
    parse = GetMessageClass(method.input_type).FromString
    message_name = method.input_type.full_name
    name = method.name
    # Of others nobody asks, and heartbeats are many.
    is_registration = name == "RegisterServer"

    async def guarded(body: bytes, context: Any) -> Message:
        start = time.perf_counter()
        metadata = context.invocation_metadata() or ()
        request_id = request_id_or_new(_sent(metadata, REQUEST_ID))
        current_request_id.set(request_id)
        if is_registration:
            caller_address.set(address_of(context.peer()))
        try:
            with gate:
                if operators:
                    operators.check(context.peer(), metadata)
                if len(body) > _LARGEST_REQUEST_BYTES:
                    raise TooLarge(len(body), _LARGEST_REQUEST_BYTES)
                try:
                    request = parse(body)
                except DecodeError:
                    raise NotTheMessage(message_name) from None
                answer = await call(request)
            _tell(handled, name, grpc.StatusCode.OK, time.perf_counter() - start)
            return answer
        except asyncio.CancelledError:
            # Whoever called has given up.
            _tell(handled, name, grpc.StatusCode.CANCELLED, time.perf_counter() - start)
            raise
        except Exception as error:  # noqa: BLE001 - nothing may reach a client untranslated
            code, status = status_of(error, name)
        _tell(handled, name, code, time.perf_counter() - start)
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


def _tell(handled: Handled, name: str, code: grpc.StatusCode, seconds: float) -> None:
    handled(SERVICE.full_name, name, code.name, seconds)
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s: %s after %.1f ms", name, code.name, 1000 * seconds)


def _sent(metadata: Iterable[tuple[str, str | bytes]], wanted: str) -> str:
    return next((str(value) for name, value in metadata if name == wanted), "")
