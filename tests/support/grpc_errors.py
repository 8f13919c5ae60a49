"""Reads the errors that the API answers with, and checks each for leaked secrets."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.support.canary_secrets import leak_detector


def refusal(call: Callable[[], object]) -> Any:
    """The error of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    leak_detector.check("in a refusal", (error.details(), error.trailing_metadata()))
    return error


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as caught:
        error: Any = caught
        leak_detector.check("in a refusal", (error.details(), error.trailing_metadata()))
        return error.code()  # type: ignore[no-any-return]
    return grpc.StatusCode.OK


def field_of(error: Any) -> str:
    """The field that an error for an invalid field names."""
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(error)
    assert status
    bad_request = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad_request)
    return str(bad_request.field_violations[0].field)
