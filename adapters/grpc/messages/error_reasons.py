"""What an error tells programs besides its code and its words: `google.rpc.ErrorInfo` and
`google.rpc.RetryInfo`."""

from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from adapters.grpc.messages.metadata import STATUS_DETAILS
from domain.errors import CertificateRequired, JoinKeyRefused

# The messages are imported where they are read: a host that is never refused saves the memory.

DOMAIN = "manman.v1"
JOIN_KEY_REFUSED = "JOIN_KEY_REFUSED"
CERTIFICATE_REQUIRED = "CERTIFICATE_REQUIRED"
REASONS: dict[type[Exception], str] = {
    CertificateRequired: CERTIFICATE_REQUIRED,
    JoinKeyRefused: JOIN_KEY_REFUSED,
}

Detail = TypeVar("Detail", bound=Message)


def reason_of(error: grpc.RpcError) -> str:
    """Why it refused, where the code does not say it; empty where it gave none, as an older API
    does."""
    from google.rpc import error_details_pb2

    info = _detail(error, error_details_pb2.ErrorInfo())
    return str(info.reason) if info and info.domain == DOMAIN else ""


def retry_after(error: grpc.RpcError) -> float:
    """For how many seconds to wait, 0 where the API did not say."""
    from google.rpc import error_details_pb2

    info = _detail(error, error_details_pb2.RetryInfo())
    return float(info.retry_delay.ToTimedelta().total_seconds()) if info else 0.0


def _detail(error: grpc.RpcError, wanted: Detail) -> Detail | None:
    from google.rpc import status_pb2

    metadata: Any = error.trailing_metadata() or ()
    sent = next((value for name, value in metadata if name == STATUS_DETAILS), b"")
    try:
        details = status_pb2.Status.FromString(sent).details
        return wanted if any(detail.Unpack(wanted) for detail in details) else None
    except DecodeError:
        return None
