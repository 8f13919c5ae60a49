"""A server that answers heartbeats and does nothing else: the cost of Python's gRPC alone."""

import sys
from typing import Any

from protos.manman.v1 import manman_pb2 as pb
from tests.benchmarks.reference_server import serve


async def heartbeat(request: pb.HeartbeatRequest, context: Any) -> pb.HeartbeatResponse:
    return pb.HeartbeatResponse(acknowledged=True, next_heartbeat_seconds=15)


if __name__ == "__main__":
    serve(heartbeat, on_uvloop="uvloop" in sys.argv)
