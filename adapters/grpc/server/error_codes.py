"""The one table from what went wrong to what a client is told."""

import logging

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from adapters.grpc.messages.error_reasons import DOMAIN, REASONS
from adapters.grpc.server.in_flight_calls import Draining
from application.ports.broker import BrokerUnavailable
from application.ports.certificate_authority import AuthorityExpired
from application.ports.host_commands import HostNotListening
from application.ports.operator_tokens import ProviderUnavailable
from application.ports.store.store import StoreFailed, StoreUnavailable
from domain.errors import (
    CertificateMismatch,
    CertificateNotFromOwnCA,
    CertificateRequired,
    ConfigurationNotFound,
    ConflictAlreadyResolved,
    ConflictNotFound,
    CredentialRequired,
    DeletedServerNotFound,
    InvalidField,
    InvalidRegistrationKey,
    JoinKeyNotFound,
    JoinKeyRefused,
    LocalOperatorsOnly,
    NameInUse,
    NoCertificatesIssued,
    NotAdmitted,
    NotAnOperator,
    OperatorCertificateRefused,
    OperatorKeyNotFound,
    OperatorKeyRefused,
    OperatorKeyRequired,
    RoleTooLow,
    SelectorConfigurationNotFound,
    ServerIsOnline,
    ServerNameTaken,
    ServerNotApproved,
    ServerNotFound,
    SupersededRegistration,
    TooManyCalls,
)

_log = logging.getLogger(__name__)


class TooBusy(Exception):
    """More is waiting than this API takes on."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many calls are waiting, try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class MalformedRequest(Exception):
    """The body of a call is not the message that it should be."""

    def __init__(self, message_name: str) -> None:
        super().__init__(f"the request is not a valid {message_name} message")


class EmptyRequest(Exception):
    """A call ended without any message."""

    def __init__(self) -> None:
        super().__init__("the request has no message")


class RequestTimeout(Exception):
    """The body of a call does not arrive in time."""

    def __init__(self) -> None:
        super().__init__("the request did not arrive in time")


class TooLarge(Exception):
    """The body of a call is larger than any message of the contract needs to be."""

    def __init__(self, size: int, most: int) -> None:
        super().__init__(f"the request has {size} bytes, at most {most} are allowed")


CODES: dict[type[Exception], grpc.StatusCode] = {
    InvalidRegistrationKey: grpc.StatusCode.PERMISSION_DENIED,
    CredentialRequired: grpc.StatusCode.UNAUTHENTICATED,
    CertificateRequired: grpc.StatusCode.UNAUTHENTICATED,
    CertificateMismatch: grpc.StatusCode.PERMISSION_DENIED,
    NoCertificatesIssued: grpc.StatusCode.FAILED_PRECONDITION,
    CertificateNotFromOwnCA: grpc.StatusCode.FAILED_PRECONDITION,
    AuthorityExpired: grpc.StatusCode.FAILED_PRECONDITION,
    InvalidField: grpc.StatusCode.INVALID_ARGUMENT,
    MalformedRequest: grpc.StatusCode.INVALID_ARGUMENT,
    ServerNotFound: grpc.StatusCode.NOT_FOUND,
    DeletedServerNotFound: grpc.StatusCode.NOT_FOUND,
    ConfigurationNotFound: grpc.StatusCode.NOT_FOUND,
    SelectorConfigurationNotFound: grpc.StatusCode.NOT_FOUND,
    ConflictNotFound: grpc.StatusCode.NOT_FOUND,
    ConflictAlreadyResolved: grpc.StatusCode.FAILED_PRECONDITION,
    ServerNameTaken: grpc.StatusCode.ALREADY_EXISTS,
    NameInUse: grpc.StatusCode.ALREADY_EXISTS,
    SupersededRegistration: grpc.StatusCode.FAILED_PRECONDITION,
    NotAdmitted: grpc.StatusCode.PERMISSION_DENIED,
    JoinKeyRefused: grpc.StatusCode.PERMISSION_DENIED,
    JoinKeyNotFound: grpc.StatusCode.NOT_FOUND,
    ServerIsOnline: grpc.StatusCode.FAILED_PRECONDITION,
    ServerNotApproved: grpc.StatusCode.FAILED_PRECONDITION,
    LocalOperatorsOnly: grpc.StatusCode.PERMISSION_DENIED,
    OperatorKeyRequired: grpc.StatusCode.UNAUTHENTICATED,
    OperatorKeyRefused: grpc.StatusCode.UNAUTHENTICATED,
    NotAnOperator: grpc.StatusCode.PERMISSION_DENIED,
    OperatorCertificateRefused: grpc.StatusCode.UNAUTHENTICATED,
    RoleTooLow: grpc.StatusCode.PERMISSION_DENIED,
    OperatorKeyNotFound: grpc.StatusCode.NOT_FOUND,
    TooBusy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    TooManyCalls: grpc.StatusCode.RESOURCE_EXHAUSTED,
    TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    RequestTimeout: grpc.StatusCode.DEADLINE_EXCEEDED,
    EmptyRequest: grpc.StatusCode.INVALID_ARGUMENT,
    HostNotListening: grpc.StatusCode.FAILED_PRECONDITION,
    BrokerUnavailable: grpc.StatusCode.UNAVAILABLE,
    ProviderUnavailable: grpc.StatusCode.UNAVAILABLE,
    Draining: grpc.StatusCode.UNAVAILABLE,
    StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    StoreFailed: grpc.StatusCode.INTERNAL,
}


def status_of(error: Exception, method: str) -> tuple[grpc.StatusCode, status_pb2.Status]:
    """What to answer. Whatever the table does not know is INTERNAL with a fixed text.

    What it does not know is logged, with its cause; a store tells the log of its failures itself.
    """
    known = type(error) in CODES
    if not known:
        _log.error("%s failed", method, exc_info=error)
    code = CODES.get(type(error), grpc.StatusCode.INTERNAL)
    number: int = code.value[0]
    details = map(_any, _details(error))
    return code, status_pb2.Status(code=number, message=message_of(error), details=details)


def message_of(error: Exception) -> str:
    """What to say: nothing of what the table does not know."""
    return str(error) if type(error) in CODES else "internal error"


def _details(error: Exception) -> list[Message]:
    match error:
        case InvalidField():
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=error.field, description=error.problem
            )
            return [error_details_pb2.BadRequest(field_violations=[violation])]
        case TooBusy() | TooManyCalls():
            delay = Duration(seconds=error.retry_after_seconds)
            return [error_details_pb2.RetryInfo(retry_delay=delay)]
        case _ if type(error) in REASONS:
            return [error_details_pb2.ErrorInfo(reason=REASONS[type(error)], domain=DOMAIN)]
        case _:
            return []


def _any(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
