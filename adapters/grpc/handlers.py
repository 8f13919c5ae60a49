from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from adapters.grpc.errors import NotTheMessage, TooLarge, status_of
from adapters.grpc.gate import Gate
from adapters.grpc.operators import OperatorAccess
from adapters.grpc.service import ManManService
from protos.manman.v1 import manman_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["ManManAPI"]

# Every other call, and so every call that is added, is an operator's.
HOST_CALLS = frozenset({"RegisterServer", "Heartbeat", "FetchConfiguration"})

# A configuration document has at most 256 KiB, everything else much less.
_LARGEST_REQUEST_BYTES = 1024 * 1024

_Call = Callable[[Any], Awaitable[Message]]


def handlers(
    service: ManManService, operators: OperatorAccess, gate: Gate
) -> grpc.GenericRpcHandler:
    """The service as gRPC takes it: every call of the contract, guarded.

    Requests arrive as bytes and are parsed here, because a body that gRPC cannot parse would
    be answered by it as the server's own failure.
    """
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        method.name: grpc.unary_unary_rpc_method_handler(
            _guarded(
                method,
                getattr(service, method.name),
                gate,
                None if method.name in HOST_CALLS else operators,
            ),
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
        for method in SERVICE.methods
    }
    return grpc.method_handlers_generic_handler(SERVICE.full_name, methods)


def _guarded(
    method: MethodDescriptor, call: _Call, gate: Gate, operators: OperatorAccess | None
) -> Callable[[bytes, Any], Awaitable[Message]]:
    parse = GetMessageClass(method.input_type).FromString
    message_name = method.input_type.full_name

    async def guarded(body: bytes, context: Any) -> Message:
        try:
            with gate:
                if operators:
                    operators.check(context.peer(), context.invocation_metadata() or ())
                if len(body) > _LARGEST_REQUEST_BYTES:
                    raise TooLarge(len(body), _LARGEST_REQUEST_BYTES)
                try:
                    request = parse(body)
                except DecodeError:
                    raise NotTheMessage(message_name) from None
                return await call(request)
        except Exception as error:  # noqa: BLE001 - nothing may reach a client untranslated
            code, status = status_of(error, method.name)
        return await context.abort(  # type: ignore[no-any-return]  # it always raises
            code,
            status.message,
            trailing_metadata=(("grpc-status-details-bin", status.SerializeToString()),),
        )

    return guarded
