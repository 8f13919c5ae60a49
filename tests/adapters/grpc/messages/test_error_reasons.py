from typing import Any

import grpc
import pytest

from adapters.grpc.messages.error_reasons import Reason, reason_of, retry_after
from adapters.grpc.messages.metadata import REQUEST_ID, STATUS_DETAILS
from adapters.grpc.server.error_codes import TooBusy, status_of
from domain.errors import InvalidField, ServerNotFound


class FakeError(grpc.RpcError):
    """An error with these details, as a client receives it."""

    def __init__(self, details: bytes | None) -> None:
        self.status_details = details

    def trailing_metadata(self) -> Any:
        if self.status_details is None:
            return None
        return ((REQUEST_ID, "abc123"), (STATUS_DETAILS, self.status_details))


def received(error: Exception) -> FakeError:
    _, status = status_of(error, "a call")
    return FakeError(status.SerializeToString())


@pytest.mark.parametrize(
    ("error", "reason", "seconds"),
    [
        (ServerNotFound(7), Reason.SERVER_NOT_FOUND, 0),
        (InvalidField("name", "is required"), Reason.INVALID_FIELD, 0),
        (TooBusy(7), Reason.TOO_BUSY, 7),
        (OSError("a secret path"), Reason.INTERNAL_ERROR, 0),
    ],
)
def test_a_client_reads_what_the_api_sends(error: Exception, reason: Reason, seconds: int) -> None:
    assert reason_of(received(error)) == reason
    assert retry_after(received(error)) == seconds


@pytest.mark.parametrize("details", [None, b"", b"\xff\xfe", b"\x08\x05"])
def test_an_error_without_readable_details_has_no_reason(details: bytes | None) -> None:
    assert reason_of(FakeError(details)) == ""
    assert retry_after(FakeError(details)) == 0


def test_a_reason_of_another_domain_is_ignored() -> None:
    _, status = status_of(ServerNotFound(7), "a call")
    details = status.SerializeToString().replace(b"manman.v1", b"example.a")

    assert reason_of(FakeError(details)) == ""


def test_a_reason_of_a_later_api_is_read_unchanged() -> None:
    _, status = status_of(ServerNotFound(7), "a call")
    details = status.SerializeToString().replace(b"SERVER_NOT_FOUND", b"SERVER_NOT_THERE")

    assert reason_of(FakeError(details)) == "SERVER_NOT_THERE"
