"""The one table from an API's status code and reason to the host's own errors."""

from collections.abc import Mapping

import grpc

from adapters.grpc.client.host.calls import CallSpec
from adapters.grpc.client.released_texts import reason_in
from adapters.grpc.messages.error_reasons import Reason, retry_after
from application.ports.diagnosis import Diagnosis
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
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

_Code = grpc.StatusCode

# An empty reason is the meaning of the bare code: older APIs send few reasons, and a later API may
# send one that is not known here.
_REFUSALS: Mapping[tuple[grpc.StatusCode, str], type[ManManError]] = {
    (_Code.PERMISSION_DENIED, Reason.INVALID_REGISTRATION_KEY): InvalidRegistrationKey,
    (_Code.PERMISSION_DENIED, Reason.JOIN_KEY_REFUSED): JoinKeyRefused,
    (_Code.PERMISSION_DENIED, ""): NotAdmitted,
    (_Code.ALREADY_EXISTS, ""): NameInUse,
    (_Code.FAILED_PRECONDITION, ""): SupersededRegistration,
    (_Code.NOT_FOUND, ""): ServerNotFound,
    (_Code.UNAUTHENTICATED, Reason.CERTIFICATE_REQUIRED): CertificateRequired,
    (_Code.UNAUTHENTICATED, ""): CredentialRequired,
}

# Reading a reason loads modules that a host which is never refused does not need.
_CODES_WITH_REASONS = {code for code, reason in _REFUSALS if reason}

# Temporary failures, UNAVAILABLE aside. Each completes the sentence "The API at HOST:PORT …".
_TEMPORARY: Mapping[grpc.StatusCode, tuple[str, str]] = {
    _Code.DEADLINE_EXCEEDED: (
        "does not answer in time",
        "check that it runs, that API_ADDRESS is right and that no firewall blocks the port",
    ),
    _Code.RESOURCE_EXHAUSTED: ("is too busy to answer now", ""),
    _Code.INTERNAL: ("failed to answer", "its log says why"),
    _Code.UNKNOWN: ("failed to answer", "its log says why"),
    _Code.ABORTED: ("aborted the call", ""),
    _Code.CANCELLED: ("aborted the call", ""),
}

_CLOSES = Diagnosis("closes the connection", "check that API_ADDRESS names the API's port")
_NO_ADDRESS = "resol"
# gRPC has one code for every connection that fails; only its own texts tell the causes apart.
_CONNECTION_FAILURES: Mapping[str, Diagnosis] = {
    _NO_ADDRESS: Diagnosis(
        "is not found: its name does not resolve",
        "check API_ADDRESS and the name service",
        separator="; ",
    ),
    "Connection refused": Diagnosis(
        "is not there: nothing listens on that port",
        "check that it runs and that API_ADDRESS is right",
        separator="; ",
    ),
    "Socket closed": _CLOSES,
    "Connection reset": _CLOSES,
    "http1": Diagnosis("is not a gRPC server", "check that API_ADDRESS names the API's port"),
}
_UNREACHABLE = Diagnosis(
    "cannot be reached",
    "check that it runs, that API_ADDRESS is right and that no firewall blocks the port",
)


def own_error(
    error: grpc.RpcError, call: CallSpec, server_id: int | None, address: str
) -> ManManError | ControlPlaneRefused | ControlPlaneUnavailable:
    """What a failed call means to the host. `server_id` is None in a registration."""
    code, text = error.code(), error.details() or ""
    api = f"The API at {address} (API_ADDRESS)"
    if code is _Code.UNAVAILABLE:
        return ControlPlaneUnavailable.of(_why_unavailable(error).after(f"{api} "))
    if code in _TEMPORARY:
        problem, fix = _TEMPORARY[code]
        return ControlPlaneUnavailable(f"{api} {problem}", fix, retry_after=retry_after(error))
    reason = reason_in(error) if code in _CODES_WITH_REASONS else ""
    refusal = _REFUSALS.get((code, reason)) or _REFUSALS.get((code, ""))
    if refusal in call.expected_errors:
        return _built(refusal, text, server_id)
    if code is _Code.UNIMPLEMENTED:
        return ControlPlaneRefused(
            f"{api} does not know this call",
            "check that API_ADDRESS names the API's port, and that the API is not"
            " older than this host manager",
        )
    return ControlPlaneRefused(f"{api} refuses this host: {text}")


def is_connection_failure(error: grpc.RpcError) -> bool:
    """Whether the call reached no server: every answer of a server comes with metadata."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and not error.trailing_metadata()


def may_be_tls(error: grpc.RpcError) -> bool:
    """Whether TLS may be the reason for it."""
    return is_connection_failure(error) and _NO_ADDRESS not in (error.details() or "")


def _built(refusal: type[ManManError], text: str, server_id: int | None) -> ManManError:
    if refusal is InvalidRegistrationKey:
        return InvalidRegistrationKey()
    if server_id is not None and refusal in (ServerNotFound, CredentialRequired):
        return refusal(server_id)
    return refusal.from_message(text)


def _why_unavailable(error: grpc.RpcError) -> Diagnosis:
    if not is_connection_failure(error):
        return Diagnosis("cannot answer now", "its log says why")
    text = error.details() or ""
    return next(
        (meaning for part, meaning in _CONNECTION_FAILURES.items() if part in text), _UNREACHABLE
    )
