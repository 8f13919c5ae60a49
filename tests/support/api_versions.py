"""The errors that different versions of the API send to hosts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from adapters.grpc.server.error_codes import WIRE_ERRORS, message_of, status_of
from application.ports.store.store import StoreFailed
from domain.errors import (
    CertificateRequired,
    CredentialRequired,
    InvalidField,
    InvalidRegistrationKey,
    JoinKeyRefused,
    NameInUse,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
)

_Code = grpc.StatusCode


@dataclass(frozen=True)
class Refusal:
    """A gRPC status on the wire. `reason` is empty if the API sends no ErrorInfo."""

    code: grpc.StatusCode
    text: str
    reason: str = ""

    @property
    def status(self) -> status_pb2.Status:
        number: int = self.code.value[0]
        status = status_pb2.Status(code=number, message=self.text)
        if self.reason:
            packed = AnyMessage()
            packed.Pack(error_details_pb2.ErrorInfo(reason=self.reason, domain="manman.v1"))
            status.details.append(packed)
        return status

    @property
    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return (("grpc-status-details-bin", self.status.SerializeToString()),)


class RefusedCall(grpc.RpcError):
    """The error that a gRPC client raises for a refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self._refusal = refusal

    def code(self) -> grpc.StatusCode:
        return self._refusal.code

    def details(self) -> str:
        return self._refusal.text

    def trailing_metadata(self) -> Any:
        return self._refusal.metadata


def refusal_of(error: Exception) -> Refusal:
    """The refusal that this version of the API sends for the error."""
    code, _ = status_of(error, "Heartbeat")
    return Refusal(code, message_of(error), WIRE_ERRORS[type(error)].reason)


CURRENT: Mapping[str, Refusal] = {
    "invalid key": refusal_of(InvalidRegistrationKey()),
    "join key refused": refusal_of(JoinKeyRefused("jk-aaaaaaaaaa", "was revoked")),
    "not admitted": refusal_of(NotAdmitted("server 1", "is banned")),
    "name in use": refusal_of(NameInUse("web", 1, "its host is alive")),
    "superseded": refusal_of(SupersededRegistration(1, "another host manager")),
    "server not found": refusal_of(ServerNotFound(1)),
    "credential required": refusal_of(CredentialRequired(1)),
    "certificate required": refusal_of(CertificateRequired(1)),
    "invalid field": refusal_of(InvalidField("name", "is required")),
    "store failed": refusal_of(StoreFailed()),
}
# The texts of the released version, which sends only two reasons.
RELEASED: Mapping[str, Refusal] = {
    "invalid key": Refusal(_Code.PERMISSION_DENIED, "invalid registration key"),
    "join key refused": Refusal(
        _Code.PERMISSION_DENIED, "the join key jk-aaaaaaaaaa was revoked", "JOIN_KEY_REFUSED"
    ),
    "not admitted": Refusal(_Code.PERMISSION_DENIED, "server 1 is banned"),
    "name in use": Refusal(
        _Code.ALREADY_EXISTS, "the name 'web' is held by server 1, its host is alive"
    ),
    "superseded": Refusal(
        _Code.FAILED_PRECONDITION, "server 1 was registered again by another host manager"
    ),
    "server not found": Refusal(_Code.NOT_FOUND, "server 1 does not exist"),
    "credential required": Refusal(
        _Code.UNAUTHENTICATED,
        "calls of server 1 must show the server's own credential: register again to get one",
    ),
    "certificate required": Refusal(
        _Code.UNAUTHENTICATED,
        "calls of server 1 must show the server's own certificate: register again with a signing"
        " request to get one, and call the port for certificates",
        "CERTIFICATE_REQUIRED",
    ),
    "invalid field": Refusal(_Code.INVALID_ARGUMENT, "name is required"),
    "store failed": Refusal(_Code.INTERNAL, "the store failed"),
}
# The specification defines three refusals, one of them with its text, and no details.
SPECIFIED: Mapping[str, Refusal] = {
    "invalid key": Refusal(_Code.PERMISSION_DENIED, "invalid registration key"),
    "invalid field": Refusal(_Code.INVALID_ARGUMENT, ""),
    "store failed": Refusal(_Code.INTERNAL, ""),
}
VERSIONS: Mapping[str, Mapping[str, Refusal]] = {
    "current": CURRENT,
    "released": RELEASED,
    "specified": SPECIFIED,
}
