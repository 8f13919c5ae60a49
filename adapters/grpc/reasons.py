"""Why a call was refused, for programs, where the code does not say it: `google.rpc.ErrorInfo`."""

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from adapters.grpc.metadata import STATUS_DETAILS
from domain.errors import CertificateRequired, JoinKeyRefused

DOMAIN = "manman.v1"
JOIN_KEY_REFUSED = "JOIN_KEY_REFUSED"
CERTIFICATE_REQUIRED = "CERTIFICATE_REQUIRED"
REASONS: dict[type[Exception], str] = {
    CertificateRequired: CERTIFICATE_REQUIRED,
    JoinKeyRefused: JOIN_KEY_REFUSED,
}


def reason_of(error: grpc.RpcError) -> str:
    """Empty where the server gave none, as an older one does."""
    for sent in error.trailing_metadata() or ():
        if sent.key == STATUS_DETAILS:
            try:
                return _reason_in(status_pb2.Status.FromString(sent.value))
            except DecodeError:
                return ""
    return ""


def _reason_in(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    found = any(detail.Unpack(info) for detail in status.details)
    return info.reason if found and info.domain == DOMAIN else ""
