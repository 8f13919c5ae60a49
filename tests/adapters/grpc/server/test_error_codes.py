import re
from inspect import getmembers, isclass

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from adapters.grpc.messages.error_reasons import DOMAIN, Reason
from adapters.grpc.server.error_codes import WIRE_ERRORS, TooBusy, status_of
from application.access.refusals import not_admitted
from domain import errors
from domain.approval import Approval
from domain.errors import (
    CertificateMismatch,
    CertificateRequired,
    ConfigurationNotFound,
    ConflictAlreadyResolved,
    ConflictNotFound,
    CredentialRequired,
    DeletedServerNotFound,
    InvalidField,
    JoinKeyNotFound,
    JoinKeyRefused,
    ManManError,
    NameInUse,
    NotAdmitted,
    NotAnOperator,
    OperatorKeyNotFound,
    RoleTooLow,
    ServerIsOnline,
    ServerNotApproved,
    ServerNotFound,
    SupersededRegistration,
    TooManyCalls,
)
from domain.liveness import Presence, Status
from domain.role import Role
from domain.server import Server

SERVER_ID = 4711
KEY_ID = "jk-k3y1d00000"
REJECTED = Server(
    SERVER_ID,
    "box",
    "",
    Presence(Status.OFFLINE, None, offline_after=None),
    is_default=False,
    capabilities=None,
    approval=Approval.REJECTED,
    approval_reason="a secret between operators",
)
# One of each type that carries data, and what programs get of it.
DATA: dict[ManManError | TooBusy, dict[str, str]] = {
    CredentialRequired(SERVER_ID): {"server_id": "4711"},
    CertificateRequired(SERVER_ID): {"server_id": "4711"},
    CertificateMismatch(12, SERVER_ID): {"server_id": "4711", "certified_server_id": "12"},
    InvalidField("name", "must not be empty"): {"field": "name"},
    ServerNotFound(SERVER_ID): {"server_id": "4711"},
    DeletedServerNotFound(SERVER_ID): {"server_id": "4711"},
    ConfigurationNotFound(SERVER_ID, "limits"): {"server_id": "4711"},
    ConflictNotFound(5): {"conflict_id": "5"},
    ConflictAlreadyResolved(5, "resolved"): {"conflict_id": "5", "state": "resolved"},
    NameInUse("box", SERVER_ID, "which is alive"): {"server_id": "4711"},
    NameInUse("box", None, "which has not joined yet"): {},
    SupersededRegistration(SERVER_ID, "another host manager"): {"server_id": "4711"},
    not_admitted(REJECTED): {"server_id": "4711"},
    NotAdmitted("this machine", "was banned by an operator, as server 12 (box)", 12): {
        "server_id": "12"
    },
    JoinKeyRefused(KEY_ID, "was revoked"): {"key_id": KEY_ID},
    JoinKeyNotFound(KEY_ID): {"key_id": KEY_ID},
    OperatorKeyNotFound(KEY_ID): {"key_id": KEY_ID},
    ServerIsOnline(SERVER_ID): {"server_id": "4711"},
    ServerNotApproved(SERVER_ID, "pending"): {"server_id": "4711", "approval": "pending"},
    NotAnOperator("groups", "contains none of viewer, operator, admin"): {"claim": "groups"},
    RoleTooLow(Role.ADMIN, Role.VIEWER): {"needed_role": "admin", "role": "viewer"},
    TooBusy(7): {"retry_after_seconds": "7"},
    TooManyCalls("from this network", 6.2): {"retry_after_seconds": "7"},
}


def error_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert [detail.Unpack(info) for detail in status.details].count(True) == 1
    return info


def test_every_error_of_the_domain_has_a_code_and_a_reason() -> None:
    own = {each for _, each in getmembers(errors, isclass) if issubclass(each, ManManError)}

    assert own - {ManManError} <= WIRE_ERRORS.keys()


def test_each_reason_belongs_to_one_error_and_is_named_after_it() -> None:
    names = {
        wire_error.reason: re.sub("(?<!^)(?=[A-Z])", "_", error.__name__.replace("CA", "Ca"))
        for error, wire_error in WIRE_ERRORS.items()
    }

    assert {reason: name.upper() for reason, name in names.items()} == {
        reason: reason.value for reason in Reason if reason is not Reason.INTERNAL_ERROR
    }
    assert len(names) == len(WIRE_ERRORS)


@pytest.mark.parametrize("error", DATA, ids=lambda error: type(error).__name__)
def test_the_metadata_of_a_reason_contains_nothing_that_the_text_does_not(
    error: ManManError | TooBusy,
) -> None:
    code, status = status_of(error, "a call")
    info = error_info(status)

    assert (info.domain, info.reason) == (DOMAIN, WIRE_ERRORS[type(error)].reason)
    assert code is WIRE_ERRORS[type(error)].code
    assert status.message == str(error)
    assert dict(info.metadata) == DATA[error]
    for value in info.metadata.values():
        assert re.search(rf"\b{re.escape(value)}\b", status.message)


def test_these_tests_cover_every_error_with_metadata_completely() -> None:
    sent: dict[type[Exception], set[str]] = {}
    for error, data in DATA.items():
        sent.setdefault(type(error), set()).update(data)

    assert sent == {
        error: set(wire_error.attributes)
        for error, wire_error in WIRE_ERRORS.items()
        if wire_error.attributes
    }


def test_an_error_from_another_process_has_no_metadata() -> None:
    _, status = status_of(ServerNotFound.from_message("server 3 does not exist"), "a call")

    assert error_info(status).reason == "SERVER_NOT_FOUND"
    assert not error_info(status).metadata


def test_an_unknown_error_reaches_a_client_without_its_text() -> None:
    code, status = status_of(OSError("a secret path"), "a call")

    assert code is grpc.StatusCode.INTERNAL
    assert status.message == "internal error"
    assert error_info(status).reason == "INTERNAL_ERROR"
    assert b"secret" not in status.SerializeToString()


def test_equal_errors_are_equal_byte_for_byte() -> None:
    first, second = (
        status_of(CertificateMismatch(12, SERVER_ID), "a call")[1].SerializeToString()
        for _ in range(2)
    )

    assert first == second


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (InvalidField("name", "must not be empty"), error_details_pb2.BadRequest()),
        (TooManyCalls("from this network", 7), error_details_pb2.RetryInfo()),
        (TooBusy(7), error_details_pb2.RetryInfo()),
    ],
)
def test_the_reason_comes_after_the_detail_that_earlier_clients_read(
    error: Exception, detail: Message
) -> None:
    _, status = status_of(error, "a call")

    assert status.details[0].Unpack(detail)
    assert error_info(status).reason
