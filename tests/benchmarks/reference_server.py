import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import uvloop

from protos.manman.v1 import manman_pb2 as pb
from tests.benchmarks.wire import SERVICE

Heartbeat = Callable[[pb.HeartbeatRequest, Any], Awaitable[pb.HeartbeatResponse]]


def serve(heartbeat: Heartbeat, *, on_uvloop: bool = True) -> None:
    """Serve this one call on a free port until SIGTERM, registered like generated code does it.

    Runs on uvloop, or on Python's own event loop like the examples in gRPC's documentation.
    """
    run = uvloop.run if on_uvloop else asyncio.run
    run(_serve(heartbeat))


async def _serve(heartbeat: Heartbeat) -> None:
    stop_requested = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop_requested.set)
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        heartbeat,
        request_deserializer=pb.HeartbeatRequest.FromString,
        response_serializer=pb.HeartbeatResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Heartbeat": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"Serving on 127.0.0.1:{port}", flush=True)
    await stop_requested.wait()
    await server.stop(grace=1)
