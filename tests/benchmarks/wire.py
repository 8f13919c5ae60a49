"""The heartbeat on the wire, for the load generator and the reference servers."""

from protos.manman.v1 import manman_pb2 as pb

SERVICE = "manman.v1.ManManAPI"
HEARTBEAT_PATH = f"/{SERVICE}/Heartbeat"

# The API's answer to a small fleet without configurations, at the default interval.
REPLY = pb.HeartbeatResponse(acknowledged=True, next_heartbeat_seconds=15)

# gRPC puts a flag (not compressed) and four bytes of length before each message.
_PREFIX_BYTES = 5
REPLY_BYTES = _PREFIX_BYTES + REPLY.ByteSize()


def request_body(server_id: int) -> bytes:
    message = pb.HeartbeatRequest(server_id=server_id, epoch=1).SerializeToString()
    return b"\0" + len(message).to_bytes(_PREFIX_BYTES - 1, "big") + message
