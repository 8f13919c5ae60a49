"""The one table of the errors that clients may see: code, reason and metadata of each."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from adapters.grpc.messages.error_reasons import DOMAIN, Reason
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
    """Too many calls are waiting for this API."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many calls are waiting, try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class MalformedRequest(Exception):
    """The body of a call is not the message that the contract declares."""

    def __init__(self, message_name: str) -> None:
        super().__init__(f"the request is not a valid {message_name} message")


class EmptyRequest(Exception):
    """The client ended the call without sending a request."""

    def __init__(self) -> None:
        super().__init__("the request has no message")


class RequestTimeout(Exception):
    """The body of the call did not arrive in time."""

    def __init__(self) -> None:
        super().__init__("the request did not arrive in time")


class RequestTooLarge(Exception):
    """The body of the call is larger than 1 MiB."""

    def __init__(self, size: int, maximum: int) -> None:
        super().__init__(f"the request has {size} bytes, at most {maximum} are allowed")


@dataclass(frozen=True, slots=True)
class WireError:
    """How an error reaches a client: its code, its reason, and which of the error's attributes are
    the metadata of that reason. The metadata says nothing that the error's text does not say."""

    code: grpc.StatusCode
    reason: Reason
    attributes: Sequence[str] = ()


_Code = grpc.StatusCode
WIRE_ERRORS: Mapping[type[BaseException], WireError] = {
    InvalidRegistrationKey: WireError(_Code.PERMISSION_DENIED, Reason.INVALID_REGISTRATION_KEY),
    CredentialRequired: WireError(
        _Code.UNAUTHENTICATED, Reason.CREDENTIAL_REQUIRED, ("server_id",)
    ),
    CertificateRequired: WireError(
        _Code.UNAUTHENTICATED, Reason.CERTIFICATE_REQUIRED, ("server_id",)
    ),
    CertificateMismatch: WireError(
        _Code.PERMISSION_DENIED, Reason.CERTIFICATE_MISMATCH, ("server_id", "certified_server_id")
    ),
    NoCertificatesIssued: WireError(_Code.FAILED_PRECONDITION, Reason.NO_CERTIFICATES_ISSUED),
    CertificateNotFromOwnCA: WireError(
        _Code.FAILED_PRECONDITION, Reason.CERTIFICATE_NOT_FROM_OWN_CA
    ),
    AuthorityExpired: WireError(_Code.FAILED_PRECONDITION, Reason.AUTHORITY_EXPIRED),
    InvalidField: WireError(_Code.INVALID_ARGUMENT, Reason.INVALID_FIELD, ("field",)),
    MalformedRequest: WireError(_Code.INVALID_ARGUMENT, Reason.MALFORMED_REQUEST),
    ServerNotFound: WireError(_Code.NOT_FOUND, Reason.SERVER_NOT_FOUND, ("server_id",)),
    DeletedServerNotFound: WireError(
        _Code.NOT_FOUND, Reason.DELETED_SERVER_NOT_FOUND, ("server_id",)
    ),
    ConfigurationNotFound: WireError(
        _Code.NOT_FOUND, Reason.CONFIGURATION_NOT_FOUND, ("server_id",)
    ),
    SelectorConfigurationNotFound: WireError(
        _Code.NOT_FOUND, Reason.SELECTOR_CONFIGURATION_NOT_FOUND
    ),
    ConflictNotFound: WireError(_Code.NOT_FOUND, Reason.CONFLICT_NOT_FOUND, ("conflict_id",)),
    ConflictAlreadyResolved: WireError(
        _Code.FAILED_PRECONDITION, Reason.CONFLICT_ALREADY_RESOLVED, ("conflict_id", "state")
    ),
    ServerNameTaken: WireError(_Code.ALREADY_EXISTS, Reason.SERVER_NAME_TAKEN),
    NameInUse: WireError(_Code.ALREADY_EXISTS, Reason.NAME_IN_USE, ("server_id",)),
    SupersededRegistration: WireError(
        _Code.FAILED_PRECONDITION, Reason.SUPERSEDED_REGISTRATION, ("server_id",)
    ),
    NotAdmitted: WireError(_Code.PERMISSION_DENIED, Reason.NOT_ADMITTED, ("server_id",)),
    JoinKeyRefused: WireError(_Code.PERMISSION_DENIED, Reason.JOIN_KEY_REFUSED, ("key_id",)),
    JoinKeyNotFound: WireError(_Code.NOT_FOUND, Reason.JOIN_KEY_NOT_FOUND, ("key_id",)),
    ServerIsOnline: WireError(_Code.FAILED_PRECONDITION, Reason.SERVER_IS_ONLINE, ("server_id",)),
    ServerNotApproved: WireError(
        _Code.FAILED_PRECONDITION, Reason.SERVER_NOT_APPROVED, ("server_id", "approval")
    ),
    LocalOperatorsOnly: WireError(_Code.PERMISSION_DENIED, Reason.LOCAL_OPERATORS_ONLY),
    OperatorKeyRequired: WireError(_Code.UNAUTHENTICATED, Reason.OPERATOR_KEY_REQUIRED),
    OperatorKeyRefused: WireError(_Code.UNAUTHENTICATED, Reason.OPERATOR_KEY_REFUSED),
    NotAnOperator: WireError(_Code.PERMISSION_DENIED, Reason.NOT_AN_OPERATOR, ("claim",)),
    OperatorCertificateRefused: WireError(
        _Code.UNAUTHENTICATED, Reason.OPERATOR_CERTIFICATE_REFUSED
    ),
    RoleTooLow: WireError(_Code.PERMISSION_DENIED, Reason.ROLE_TOO_LOW, ("needed_role", "role")),
    OperatorKeyNotFound: WireError(_Code.NOT_FOUND, Reason.OPERATOR_KEY_NOT_FOUND, ("key_id",)),
    TooBusy: WireError(_Code.RESOURCE_EXHAUSTED, Reason.TOO_BUSY, ("retry_after_seconds",)),
    TooManyCalls: WireError(
        _Code.RESOURCE_EXHAUSTED, Reason.TOO_MANY_CALLS, ("retry_after_seconds",)
    ),
    RequestTooLarge: WireError(_Code.RESOURCE_EXHAUSTED, Reason.REQUEST_TOO_LARGE),
    RequestTimeout: WireError(_Code.DEADLINE_EXCEEDED, Reason.REQUEST_TIMEOUT),
    EmptyRequest: WireError(_Code.INVALID_ARGUMENT, Reason.EMPTY_REQUEST),
    HostNotListening: WireError(_Code.FAILED_PRECONDITION, Reason.HOST_NOT_LISTENING),
    BrokerUnavailable: WireError(_Code.UNAVAILABLE, Reason.BROKER_UNAVAILABLE),
    ProviderUnavailable: WireError(_Code.UNAVAILABLE, Reason.PROVIDER_UNAVAILABLE),
    Draining: WireError(_Code.UNAVAILABLE, Reason.DRAINING),
    StoreUnavailable: WireError(_Code.UNAVAILABLE, Reason.STORE_UNAVAILABLE),
    StoreFailed: WireError(_Code.INTERNAL, Reason.STORE_FAILED),
}
# For errors that are not in the table. The text is fixed, because theirs may contain anything.
UNKNOWN_ERROR = WireError(_Code.INTERNAL, Reason.INTERNAL_ERROR)


def status_of(error: Exception, method: str) -> tuple[grpc.StatusCode, status_pb2.Status]:
    """The code and the status to answer with; `method` is for the log.

    An error that is not in the table is logged with its cause. A store logs its failures itself.
    """
    wire_error = WIRE_ERRORS.get(type(error), UNKNOWN_ERROR)
    if wire_error is UNKNOWN_ERROR:
        _log.error("%s failed", method, exc_info=error)
    number: int = wire_error.code.value[0]
    details = map(_any, [*_standard_details(error), _error_info(error, wire_error)])
    return wire_error.code, status_pb2.Status(
        code=number, message=message_of(error), details=details
    )


def code_of(error: BaseException) -> grpc.StatusCode:
    return WIRE_ERRORS.get(type(error), UNKNOWN_ERROR).code


def message_of(error: Exception) -> str:
    """The text for the client: a fixed one for an error that is not in the table."""
    return str(error) if type(error) in WIRE_ERRORS else "internal error"


def _standard_details(error: Exception) -> Sequence[Message]:
    match error:
        case InvalidField():
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=error.field, description=error.problem
            )
            return [error_details_pb2.BadRequest(field_violations=[violation])]
        case TooBusy() | TooManyCalls():
            delay = Duration(seconds=error.retry_after_seconds)
            return [error_details_pb2.RetryInfo(retry_delay=delay)]
        case _:
            return []


def _error_info(error: Exception, wire_error: WireError) -> error_details_pb2.ErrorInfo:
    values = {name: getattr(error, name, None) for name in wire_error.attributes}
    return error_details_pb2.ErrorInfo(
        reason=wire_error.reason,
        domain=DOMAIN,
        metadata={name: str(value) for name, value in values.items() if value is not None},
    )


def _any(message: Message) -> Any:
    packed = Any()
    # Equal errors must be equal byte for byte, whatever the order in which a map keeps its keys.
    packed.Pack(message, deterministic=True)
    return packed
