"""Why the API refused a call, as values for programs: `google.rpc.ErrorInfo` and
`google.rpc.RetryInfo`."""

from enum import StrEnum
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from adapters.grpc.messages.metadata import STATUS_DETAILS

# error_details_pb2 and status_pb2 are imported where they are used: a host that is never refused
# saves their memory.

DOMAIN = "manman.v1"


class Reason(StrEnum):
    """Each error of the API by name. A reason never changes its meaning, because clients compare
    it; the texts beside it may change."""

    # About the caller.
    INVALID_REGISTRATION_KEY = "INVALID_REGISTRATION_KEY"
    JOIN_KEY_REFUSED = "JOIN_KEY_REFUSED"
    CREDENTIAL_REQUIRED = "CREDENTIAL_REQUIRED"
    CERTIFICATE_REQUIRED = "CERTIFICATE_REQUIRED"
    CERTIFICATE_MISMATCH = "CERTIFICATE_MISMATCH"
    NOT_ADMITTED = "NOT_ADMITTED"
    LOCAL_OPERATORS_ONLY = "LOCAL_OPERATORS_ONLY"
    OPERATOR_KEY_REQUIRED = "OPERATOR_KEY_REQUIRED"
    OPERATOR_KEY_REFUSED = "OPERATOR_KEY_REFUSED"
    OPERATOR_CERTIFICATE_REFUSED = "OPERATOR_CERTIFICATE_REFUSED"
    NOT_AN_OPERATOR = "NOT_AN_OPERATOR"
    ROLE_TOO_LOW = "ROLE_TOO_LOW"
    # About the request.
    INVALID_FIELD = "INVALID_FIELD"
    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    EMPTY_REQUEST = "EMPTY_REQUEST"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    # About what the API has stored.
    SERVER_NOT_FOUND = "SERVER_NOT_FOUND"
    DELETED_SERVER_NOT_FOUND = "DELETED_SERVER_NOT_FOUND"
    CONFIGURATION_NOT_FOUND = "CONFIGURATION_NOT_FOUND"
    SELECTOR_CONFIGURATION_NOT_FOUND = "SELECTOR_CONFIGURATION_NOT_FOUND"
    CONFLICT_NOT_FOUND = "CONFLICT_NOT_FOUND"
    CONFLICT_ALREADY_RESOLVED = "CONFLICT_ALREADY_RESOLVED"
    JOIN_KEY_NOT_FOUND = "JOIN_KEY_NOT_FOUND"
    OPERATOR_KEY_NOT_FOUND = "OPERATOR_KEY_NOT_FOUND"
    SERVER_NAME_TAKEN = "SERVER_NAME_TAKEN"
    NAME_IN_USE = "NAME_IN_USE"
    SUPERSEDED_REGISTRATION = "SUPERSEDED_REGISTRATION"
    SERVER_IS_ONLINE = "SERVER_IS_ONLINE"
    SERVER_NOT_APPROVED = "SERVER_NOT_APPROVED"
    HOST_NOT_LISTENING = "HOST_NOT_LISTENING"
    # About the API and its surroundings.
    NO_CERTIFICATES_ISSUED = "NO_CERTIFICATES_ISSUED"
    CERTIFICATE_NOT_FROM_OWN_CA = "CERTIFICATE_NOT_FROM_OWN_CA"
    AUTHORITY_EXPIRED = "AUTHORITY_EXPIRED"
    TOO_BUSY = "TOO_BUSY"
    TOO_MANY_CALLS = "TOO_MANY_CALLS"
    DRAINING = "DRAINING"
    BROKER_UNAVAILABLE = "BROKER_UNAVAILABLE"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    STORE_FAILED = "STORE_FAILED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


Detail = TypeVar("Detail", bound=Message)


def reason_of(error: grpc.RpcError) -> str:
    """A `Reason`, or one that a later API has added. Empty if there is none: older APIs send few
    reasons, and other servers none."""
    from google.rpc import error_details_pb2

    info = _detail(error, error_details_pb2.ErrorInfo())
    return str(info.reason) if info and info.domain == DOMAIN else ""


def retry_after(error: grpc.RpcError) -> float:
    """Seconds to wait before the next try, 0 if the API did not send any."""
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
