import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.grpc.messages.error_reasons import Reason, reason_of
from adapters.grpc.server.handlers import handlers
from adapters.grpc.server.in_flight_calls import InFlightCalls
from adapters.grpc.server.permissions import PERMISSIONS, SERVICE
from adapters.grpc.server.request_bodies import RequestBodies
from domain.errors import TooManyCalls
from domain.operator_key import Operator
from domain.role import Role
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


# The order of the wrappers


class FakeContext:
    """gRPC's context of one call, which has a body and no metadata."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body

    def invocation_metadata(self) -> None:
        return None

    def peer(self) -> str:
        return "ipv4:10.0.0.7:53412"

    async def read(self) -> bytes:
        return self.body

    async def abort(self, code: grpc.StatusCode, *_: object, **__: object) -> None:
        raise Aborted(code.name)


class Aborted(Exception):
    pass


class Chain:
    """The handlers with fakes, which write down what happens."""

    def __init__(self, answer: Callable[[], Awaitable[pb.GetServerResponse]]) -> None:
        self.events: list[str] = []
        self.in_flight_calls = InFlightCalls()
        self._answer = answer
        # The fakes have only the methods that the handlers call.
        parts: Any = {
            "services": [self],
            "operators": self,
            "in_flight_calls": self.in_flight_calls,
            "on_handled": lambda _, name, code, __: self.events.append(f"{name} recorded: {code}"),
            "audit": self,
            "bodies": RequestBodies(),
            "refusal_delay": self,
            "trust_domain": "",
        }
        self._handlers: Any = handlers(**parts)

    def __getattr__(self, name: str) -> Any:
        if name in PERMISSIONS:
            return self._call
        raise AttributeError(name)

    async def _call(self, _: object) -> pb.GetServerResponse:
        self.events.append("called")
        return await self._answer()

    async def identify(self, *_: object) -> Operator:
        self.events.append("identified")
        return Operator("ann", Role.ADMIN, "ok-aaaaaaaaaa")

    async def attempted(self, *_: object) -> None:
        self.events.append("attempt audited")

    async def refused(self, *_: object) -> None:
        self.events.append("refusal audited")

    async def hold(self) -> None:
        self.events.append("refusal delayed")

    def start(self, name: str) -> Coroutine[Any, Any, object]:
        details = SimpleNamespace(method=f"/{SERVICE.full_name}/{name}", invocation_metadata=())
        coroutine: Coroutine[Any, Any, object] = self._handlers.service(details).stream_unary(
            None, FakeContext()
        )
        return coroutine

    def aborts(self, name: str) -> str:
        with pytest.raises(Aborted) as caught:
            asyncio.run(self.start(name))
        return str(caught.value)


async def succeed() -> pb.GetServerResponse:
    return pb.GetServerResponse()


async def fail_for_the_rate() -> pb.GetServerResponse:
    raise TooManyCalls("with this key", 1)


def test_a_change_is_identified_and_audited_before_it_is_made() -> None:
    chain = Chain(succeed)
    asyncio.run(chain.start("CreateServer"))

    assert chain.events == [
        "identified",
        "attempt audited",
        "called",
        "CreateServer recorded: OK",
    ]


def test_a_refusal_is_audited_and_recorded_before_it_is_delayed() -> None:
    chain = Chain(fail_for_the_rate)

    assert chain.aborts("CreateServer") == "RESOURCE_EXHAUSTED"
    assert chain.events == [
        "identified",
        "attempt audited",
        "called",
        "refusal audited",
        "CreateServer recorded: RESOURCE_EXHAUSTED",
        "refusal delayed",
    ]


def test_a_draining_api_refuses_a_call_before_it_identifies_the_caller() -> None:
    chain = Chain(succeed)
    asyncio.run(chain.in_flight_calls.close(0))

    assert chain.aborts("GetServer") == "UNAVAILABLE"
    assert chain.events == ["GetServer recorded: UNAVAILABLE"]


def test_a_call_that_its_client_gives_up_is_recorded_as_cancelled() -> None:
    called = asyncio.Event()

    async def hang() -> pb.GetServerResponse:
        called.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing sets the event")

    chain = Chain(hang)

    async def give_up() -> None:
        call = asyncio.create_task(chain.start("GetServer"))
        await called.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(give_up())

    assert chain.events == ["identified", "called", "GetServer recorded: CANCELLED"]
