"""The texts that programs compare, in releases of the API and of its clients."""

import grpc

from adapters.grpc.client.released_texts import RELEASED_TEXTS, reason_in
from adapters.grpc.messages.error_reasons import Reason
from domain.errors import InvalidRegistrationKey, OperatorKeyRequired
from tests.support.api_versions import Refusal, RefusedCall

INVALID_REGISTRATION_KEY = "invalid registration key"
OPERATOR_KEY_REQUIRED = (
    "operators' calls need an operator's key as a bearer token: set OPERATOR_KEY for the command"
)


def test_clients_compare_only_the_texts_that_released_apis_send() -> None:
    assert RELEASED_TEXTS == {
        (
            grpc.StatusCode.PERMISSION_DENIED,
            INVALID_REGISTRATION_KEY,
        ): Reason.INVALID_REGISTRATION_KEY,
        (grpc.StatusCode.UNAUTHENTICATED, OPERATOR_KEY_REQUIRED): Reason.OPERATOR_KEY_REQUIRED,
    }


def test_the_api_still_sends_the_texts_that_released_clients_compare() -> None:
    assert str(InvalidRegistrationKey()) == INVALID_REGISTRATION_KEY
    assert str(OperatorKeyRequired()) == OPERATOR_KEY_REQUIRED


def test_a_released_text_counts_only_with_its_code_and_without_a_reason() -> None:
    code = grpc.StatusCode.UNAUTHENTICATED
    released = Refusal(code, OPERATOR_KEY_REQUIRED)
    other_code = Refusal(grpc.StatusCode.PERMISSION_DENIED, OPERATOR_KEY_REQUIRED)
    other_reason = Refusal(code, OPERATOR_KEY_REQUIRED, Reason.OPERATOR_KEY_REFUSED)

    assert reason_in(RefusedCall(released)) == Reason.OPERATOR_KEY_REQUIRED
    assert reason_in(RefusedCall(other_code)) == ""
    assert reason_in(RefusedCall(other_reason)) == Reason.OPERATOR_KEY_REFUSED
