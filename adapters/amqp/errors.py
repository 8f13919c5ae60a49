"""The one table from what went wrong to what a host is told over AMQP, and back."""

from collections.abc import Mapping
from typing import Any

from adapters.amqp.codec import Malformed, text_of
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
from domain.errors import (
    CredentialRequired,
    InvalidField,
    InvalidRegistrationKey,
    JoinKeyRefused,
    ManManError,
    NameInUse,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
)

_KINDS: dict[type[Exception], str] = {
    InvalidRegistrationKey: "invalid_registration_key",
    ServerNotFound: "server_not_found",
    CredentialRequired: "credential_required",
    InvalidField: "invalid_argument",
    Malformed: "invalid_argument",
    NameInUse: "name_held",
    SupersededRegistration: "replaced",
    NotAdmitted: "not_admitted",
    JoinKeyRefused: "not_admitted",
}
# What a kind alone does not say.
_REASONS: dict[type[Exception], str] = {JoinKeyRefused: "join_key_refused"}


def error_fields(error: ManManError | Malformed) -> Mapping[str, object]:
    said = {"kind": _KINDS.get(type(error), "refused"), "message": str(error)}
    reason = _REASONS.get(type(error))
    return {"error": {**said, "reason": reason} if reason else said}


INTERNAL_ERROR: Mapping[str, object] = {"error": {"kind": "internal", "message": "internal error"}}


def raise_error_of(fields: Mapping[str, Any], server_id: int | None) -> None:
    """Raise what the control plane answered instead of doing it, if it did."""
    error = fields.get("error")
    if not error:
        return
    said = text_of(error, "message") if isinstance(error, dict) else "no reason"
    match error.get("kind") if isinstance(error, dict) else None:
        case "invalid_registration_key":
            raise InvalidRegistrationKey
        case "internal":
            raise ControlPlaneUnavailable("The control plane failed to answer", "its log says why")
        case "server_not_found" if server_id is not None:
            raise ServerNotFound(server_id)
        case "credential_required" if server_id is not None:
            raise CredentialRequired(server_id)
        case "name_held":
            raise NameInUse.from_message(said)
        case "replaced":
            raise SupersededRegistration.from_message(said)
        case "not_admitted" if error.get("reason") == _REASONS[JoinKeyRefused]:
            raise JoinKeyRefused.from_message(said)
        case "not_admitted":
            raise NotAdmitted.from_message(said)
        case _:
            raise ControlPlaneRefused(f"The control plane refuses this host: {said}")
