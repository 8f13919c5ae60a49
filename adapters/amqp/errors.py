"""The one table from an error to the fields of an AMQP answer, and back.

Hosts decide by `kind` and `reason`; `message` is for people.
"""

from collections.abc import Mapping
from typing import Any

from adapters.amqp.codec import Malformed, string_of
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
# Tells errors of one kind apart.
_REASONS: dict[type[Exception], str] = {JoinKeyRefused: "join_key_refused"}


def error_fields(error: ManManError | Malformed) -> Mapping[str, object]:
    """The answer to a request that failed."""
    described = {"kind": _KINDS.get(type(error), "refused"), "message": str(error)}
    reason = _REASONS.get(type(error))
    return {"error": {**described, "reason": reason} if reason else described}


INTERNAL_ERROR: Mapping[str, object] = {"error": {"kind": "internal", "message": "internal error"}}


def raise_error_of(fields: Mapping[str, Any], server_id: int | None) -> None:
    """Raise the error in an answer of the control plane, if it has one."""
    error = fields.get("error")
    if not error:
        return
    text = string_of(error, "message") if isinstance(error, dict) else "no reason"
    match error.get("kind") if isinstance(error, dict) else None:
        case "invalid_registration_key":
            raise InvalidRegistrationKey
        case "internal":
            raise ControlPlaneUnavailable("The control plane failed to answer", "see its log")
        case "server_not_found" if server_id is not None:
            raise ServerNotFound(server_id)
        case "credential_required" if server_id is not None:
            raise CredentialRequired(server_id)
        case "name_held":
            raise NameInUse.from_message(text)
        case "replaced":
            raise SupersededRegistration.from_message(text)
        case "not_admitted" if error.get("reason") == _REASONS[JoinKeyRefused]:
            raise JoinKeyRefused.from_message(text)
        case "not_admitted":
            raise NotAdmitted.from_message(text)
        case _:
            raise ControlPlaneRefused(f"The control plane refuses this host: {text}")
