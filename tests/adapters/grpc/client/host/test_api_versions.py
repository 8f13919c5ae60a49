"""Hosts and APIs of different versions: a refusal means the same to both."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import grpc
import pytest

from adapters.grpc.client.host.calls import (
    DEREGISTER,
    FETCH_CONFIGURATION,
    HEARTBEAT,
    REGISTER,
    CallSpec,
)
from adapters.grpc.client.host.errors import own_error
from adapters.grpc.server.error_codes import WIRE_ERRORS
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
from domain.errors import (
    CertificateRequired,
    CredentialRequired,
    InvalidRegistrationKey,
    JoinKeyRefused,
    NameInUse,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
)
from tests.support.api_versions import CURRENT, VERSIONS, Refusal, RefusedCall

_Code = grpc.StatusCode
CALLS = (REGISTER, HEARTBEAT, FETCH_CONFIGURATION, DEREGISTER)
OF_A_SERVER = (HEARTBEAT, FETCH_CONFIGURATION, DEREGISTER)


@dataclass(frozen=True)
class ReleasedRule:
    """How the released host decides: by the code and, where given, by a text or a reason."""

    code: grpc.StatusCode
    decision: type[Exception]
    calls: Collection[CallSpec] = CALLS
    text: str | None = None
    reason: str | None = None

    def fits(self, refusal: Refusal, call: CallSpec) -> bool:
        return (
            refusal.code is self.code
            and call in self.calls
            and self.text in (None, refusal.text)
            and self.reason in (None, refusal.reason)
        )


# The first rule that fits counts.
RELEASED_RULES: Sequence[ReleasedRule] = (
    ReleasedRule(_Code.UNAVAILABLE, ControlPlaneUnavailable),
    ReleasedRule(_Code.DEADLINE_EXCEEDED, ControlPlaneUnavailable),
    ReleasedRule(_Code.RESOURCE_EXHAUSTED, ControlPlaneUnavailable),
    ReleasedRule(_Code.INTERNAL, ControlPlaneUnavailable),
    ReleasedRule(_Code.UNKNOWN, ControlPlaneUnavailable),
    ReleasedRule(_Code.ABORTED, ControlPlaneUnavailable),
    ReleasedRule(_Code.CANCELLED, ControlPlaneUnavailable),
    ReleasedRule(_Code.PERMISSION_DENIED, InvalidRegistrationKey, text="invalid registration key"),
    ReleasedRule(_Code.PERMISSION_DENIED, JoinKeyRefused, reason="JOIN_KEY_REFUSED"),
    ReleasedRule(_Code.PERMISSION_DENIED, NotAdmitted),
    ReleasedRule(_Code.ALREADY_EXISTS, NameInUse, [REGISTER]),
    ReleasedRule(_Code.FAILED_PRECONDITION, SupersededRegistration, [HEARTBEAT, DEREGISTER]),
    ReleasedRule(_Code.NOT_FOUND, ServerNotFound, OF_A_SERVER),
    ReleasedRule(
        _Code.UNAUTHENTICATED, CertificateRequired, OF_A_SERVER, reason="CERTIFICATE_REQUIRED"
    ),
    ReleasedRule(_Code.UNAUTHENTICATED, CredentialRequired, [HEARTBEAT]),
)


def released_decision(refusal: Refusal, call: CallSpec) -> type[Exception]:
    return next(
        (rule.decision for rule in RELEASED_RULES if rule.fits(refusal, call)),
        ControlPlaneRefused,
    )


def decision(refusal: Refusal, call: CallSpec) -> type[Exception]:
    server_id = None if call is REGISTER else 1
    return type(own_error(RefusedCall(refusal), call, server_id, "127.0.0.1:50051"))


# What the API may answer to which call, and what it means to a host.
MEANINGS: Sequence[tuple[str, Collection[CallSpec], type[Exception]]] = (
    ("invalid key", CALLS, InvalidRegistrationKey),
    ("join key refused", CALLS, JoinKeyRefused),
    ("not admitted", CALLS, NotAdmitted),
    ("name in use", [REGISTER], NameInUse),
    ("superseded", [HEARTBEAT, DEREGISTER], SupersededRegistration),
    ("server not found", OF_A_SERVER, ServerNotFound),
    ("credential required", [HEARTBEAT], CredentialRequired),
    ("certificate required", OF_A_SERVER, CertificateRequired),
    ("invalid field", CALLS, ControlPlaneRefused),
    ("store failed", CALLS, ControlPlaneUnavailable),
)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_refusal_of_each_version_of_the_api_means_the_same_to_a_host(version: str) -> None:
    wrong = [
        (name, call.method, decision(refusal, call))
        for name, calls, meaning in MEANINGS
        for call in calls
        if (refusal := VERSIONS[version].get(name)) and decision(refusal, call) is not meaning
    ]

    assert wrong == []


def test_a_refusal_of_this_api_means_the_same_to_a_released_host() -> None:
    wrong = [
        (name, call.method, released_decision(CURRENT[name], call))
        for name, calls, meaning in MEANINGS
        for call in calls
        if released_decision(CURRENT[name], call) is not meaning
    ]

    assert wrong == []


def test_a_host_treats_each_error_of_this_api_as_a_released_host_does() -> None:
    refusals = [
        Refusal(
            wire_error.code,
            "invalid registration key" if error is InvalidRegistrationKey else "any text",
            wire_error.reason,
        )
        for error, wire_error in WIRE_ERRORS.items()
    ]
    differences = [
        (refusal.reason, call.method)
        for refusal in refusals
        for call in CALLS
        if decision(refusal, call) is not released_decision(refusal, call)
    ]

    assert differences == []


def test_a_host_reads_no_text_where_the_api_sends_a_reason() -> None:
    rewritten = Refusal(_Code.PERMISSION_DENIED, "any text", "INVALID_REGISTRATION_KEY")
    misleading = Refusal(_Code.PERMISSION_DENIED, "invalid registration key", "NOT_ADMITTED")

    assert decision(rewritten, REGISTER) is InvalidRegistrationKey
    assert decision(misleading, REGISTER) is NotAdmitted


def test_a_reason_that_a_host_does_not_know_means_what_its_code_means() -> None:
    later = Refusal(_Code.NOT_FOUND, "any text", "SERVER_MOVED")

    assert decision(later, HEARTBEAT) is ServerNotFound
