"""The texts that programs compare, in releases of the API and of its clients."""

import grpc

from adapters.grpc.client.released_texts import RELEASED_TEXTS
from adapters.grpc.messages.error_reasons import Reason
from domain.errors import InvalidRegistrationKey, OperatorKeyRequired

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
