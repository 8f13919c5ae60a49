"""The calls that a host makes to the API."""

from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from google.protobuf.message import Message

from adapters.grpc.messages.metadata import REQUEST_ID
from application.context.request_id import current_request_id, new_request_id
from application.context.trace_context import TRACE_PARENT, current_trace_parent
from domain.errors import (
    CertificateRequired,
    CredentialRequired,
    InvalidRegistrationKey,
    JoinKeyRefused,
    ManManError,
    NameInUse,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
)
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub

_Errors = frozenset[type[ManManError]]

_ACCESS_ERRORS: _Errors = frozenset({InvalidRegistrationKey, JoinKeyRefused, NotAdmitted})
_ERRORS_OF_A_SERVER: _Errors = _ACCESS_ERRORS | {ServerNotFound, CertificateRequired}


@dataclass(frozen=True, slots=True)
class CallSpec:
    """What the host expects of one method of the API."""

    method: str
    # The refusals that mean something to the host; any other is a ControlPlaneRefused.
    expected_errors: _Errors
    # Whether a failed connection may cost the time that it takes to find out why.
    diagnoses_tls: bool = True
    # Upper bound of the time for the call, in seconds.
    max_seconds: float = float("inf")

    @property
    def registration_helps(self) -> bool:
        """Whether the host registers again if the API requires what a registration gives."""
        return CredentialRequired in self.expected_errors


REGISTER = CallSpec("RegisterServer", _ACCESS_ERRORS | {NameInUse})
HEARTBEAT = CallSpec(
    "Heartbeat", _ERRORS_OF_A_SERVER | {CredentialRequired, SupersededRegistration}
)
LEAVING_HEARTBEAT = replace(HEARTBEAT, diagnoses_tls=False)
FETCH_CONFIGURATION = CallSpec("FetchConfiguration", _ERRORS_OF_A_SERVER)
DEREGISTER = CallSpec("Deregister", _ERRORS_OF_A_SERVER | {SupersededRegistration})
# A heartbeat or a registration waits for the calls below in addition to its own answer.
RENEW_CERTIFICATE = CallSpec(
    "RenewCertificate", _ERRORS_OF_A_SERVER, diagnoses_tls=False, max_seconds=3.0
)
GET_TRUST_BUNDLE = CallSpec("GetTrustBundle", _ACCESS_ERRORS, diagnoses_tls=False, max_seconds=3.0)


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call that can be tried over several channels, one after the other."""

    method: str
    request: Message = field(repr=False)
    # Time for one try.
    seconds: float

    def __call__(self, channel: grpc.Channel) -> Any:
        """The response. Raises grpc.RpcError."""
        method = getattr(ManManAPIStub(channel), self.method)
        return method(self.request, timeout=self.seconds, metadata=_request_metadata())


def _request_metadata() -> tuple[tuple[str, str | bytes], ...]:
    """The metadata of a new request, which gets a request id of its own."""
    current_request_id.set(new_request_id())
    request_id = (REQUEST_ID, current_request_id.get())
    trace_parent = current_trace_parent.get()
    return (request_id, (TRACE_PARENT, trace_parent)) if trace_parent else (request_id,)
