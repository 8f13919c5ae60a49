import pytest

from adapters.amqp.codec import Malformed
from adapters.amqp.errors import error_fields, raise_error_of
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

KINDS: list[tuple[ManManError | Malformed, dict[str, str], type[Exception]]] = [
    (InvalidRegistrationKey(), {"kind": "invalid_registration_key"}, InvalidRegistrationKey),
    (ServerNotFound(1), {"kind": "server_not_found"}, ServerNotFound),
    (CredentialRequired(1), {"kind": "credential_required"}, CredentialRequired),
    (NameInUse("web", 1, "its host is alive"), {"kind": "name_held"}, NameInUse),
    (SupersededRegistration(1, "another"), {"kind": "replaced"}, SupersededRegistration),
    (NotAdmitted("server 1", "is banned"), {"kind": "not_admitted"}, NotAdmitted),
    (
        JoinKeyRefused("jk-aaaaaaaaaa", "was revoked"),
        {"kind": "not_admitted", "reason": "join_key_refused"},
        JoinKeyRefused,
    ),
    (InvalidField("name", "is required"), {"kind": "invalid_argument"}, ControlPlaneRefused),
    (Malformed("the body is not JSON"), {"kind": "invalid_argument"}, ControlPlaneRefused),
    (ManManError("something else"), {"kind": "refused"}, ControlPlaneRefused),
]


@pytest.mark.parametrize(("error", "fields", "meaning"), KINDS)
def test_an_error_travels_as_its_kind_and_reason_beside_its_text(
    error: ManManError | Malformed, fields: dict[str, str], meaning: type[Exception]
) -> None:
    assert error_fields(error) == {"error": {**fields, "message": str(error)}}
    with pytest.raises(meaning):
        raise_error_of(error_fields(error), server_id=1)


@pytest.mark.parametrize(("error", "fields", "meaning"), KINDS)
def test_a_host_decides_by_kind_and_reason_and_not_by_the_text(
    error: ManManError | Malformed, fields: dict[str, str], meaning: type[Exception]
) -> None:
    answer = {"error": {**fields, "message": "invalid registration key"}}
    with pytest.raises((ManManError, ControlPlaneRefused)) as caught:
        raise_error_of(answer, server_id=1)

    assert type(caught.value) is meaning


def test_an_internal_error_is_temporary() -> None:
    with pytest.raises(ControlPlaneUnavailable):
        raise_error_of({"error": {"kind": "internal", "message": "internal error"}}, server_id=1)


@pytest.mark.parametrize("error", ["text", {"message": "no kind"}, {"kind": 7}, {"kind": "later"}])
def test_an_error_of_an_unknown_kind_is_a_refusal(error: object) -> None:
    with pytest.raises(ControlPlaneRefused):
        raise_error_of({"error": error}, server_id=1)


def test_an_answer_without_an_error_raises_nothing() -> None:
    raise_error_of({"server_id": 1}, server_id=1)
