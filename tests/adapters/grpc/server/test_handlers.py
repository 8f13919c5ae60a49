from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.grpc.messages.error_reasons import Reason, reason_of
from adapters.grpc.server.permissions import PERMISSIONS, SERVICE
from entrypoints.testing import RunningApi, running_api
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.grpc_errors import code_of, refusal

KEY = canary("registration key")
OPERATOR_KEY = canary("operator key")


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    with running_api() as api:
        yield api


def serves(api: RunningApi) -> bool:
    return api.client.RegisterServer(pb.RegisterServerRequest(name="witness")).server_id > 0


def test_a_request_above_one_mebibyte_is_refused_and_the_next_one_served(api: RunningApi) -> None:
    request = pb.RegisterServerRequest(name="x" * 2_000_000)
    error = refusal(lambda: api.client.RegisterServer(request))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "the request has 2000004 bytes, at most 1048576 are allowed"
    assert serves(api)


@pytest.mark.parametrize("method", ["Heartbeat", "PutConfiguration"])
def test_a_request_above_two_mebibytes_is_refused_by_grpc_before_it_is_read(
    api: RunningApi, method: str
) -> None:
    error = refusal(lambda: raw(api, method, bytes(4 * 1024 * 1024)))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max (4194304 vs. 2097152)" in error.details()
    assert serves(api)


def test_too_much_metadata_is_refused(api: RunningApi) -> None:
    sent = (("x-request-id", "x" * 17_000),)
    error = refusal(lambda: api.client.ListServers(pb.ListServersRequest(), metadata=sent))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert serves(api)


def raw(api: RunningApi, method: str, body: bytes) -> Any:
    with grpc.insecure_channel(api.address) as channel:
        call: Any = channel.unary_unary(f"/{SERVICE.full_name}/{method}")
        return call(body)


@pytest.mark.parametrize(
    "body", [b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\xff" * 20], ids=["truncated", "utf8", "rubbish"]
)
def test_a_body_that_cannot_be_parsed_is_an_invalid_argument(api: RunningApi, body: bytes) -> None:
    error = refusal(lambda: raw(api, "RegisterServer", body))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "the request is not a valid manman.v1.RegisterServerRequest message"
    assert reason_of(error) == Reason.MALFORMED_REQUEST
    assert serves(api)


@settings(deadline=None, max_examples=200)
@given(method=st.sampled_from([method.name for method in SERVICE.methods]), body=st.binary())
def test_no_bytes_of_a_body_cause_an_internal_error(
    api: RunningApi, method: str, body: bytes
) -> None:
    assert code_of(lambda: raw(api, method, body)) in {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        # Without a credential there is no certificate, and none are issued here.
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
    }


def test_an_unexpected_error_reveals_nothing_to_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_api() as api:

        def fail(*_: object) -> None:
            # No canary: the log may contain the text of an unexpected error, the response must not.
            raise RuntimeError("postgresql://manman:unseen@db/manman")

        monkeypatch.setattr("application.registration.register_server.check_name", fail)
        request = pb.RegisterServerRequest(name="a", registration_key=KEY)
        error = refusal(lambda: api.client.RegisterServer(request))

    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "internal error"
    assert reason_of(error) == Reason.INTERNAL_ERROR
    assert "unseen" not in str(error.trailing_metadata())


def operator_calls(api: RunningApi, **options: Any) -> Iterator[grpc.StatusCode]:
    """The code of each operator call with an empty message."""
    with grpc.insecure_channel(api.address) as channel:
        for method in SERVICE.methods:
            if not PERMISSIONS[method.name].is_for_hosts:
                call: Any = channel.unary_unary(f"/{SERVICE.full_name}/{method.name}")
                yield code_of(partial(call, b"", **options))


def test_with_an_operator_key_every_operator_call_needs_it() -> None:
    with running_api(operator_key=OPERATOR_KEY) as api:
        right = {"metadata": (("authorization", f"Bearer {OPERATOR_KEY}"),)}
        wrong = {"metadata": (("authorization", f"Bearer {OPERATOR_KEY[:-1]}"),)}

        assert set(operator_calls(api)) == {grpc.StatusCode.UNAUTHENTICATED}
        assert set(operator_calls(api, **wrong)) == {grpc.StatusCode.UNAUTHENTICATED}
        assert grpc.StatusCode.UNAUTHENTICATED not in set(operator_calls(api, **right))
        assert serves(api)
