"""The contract's answers to bad input, and who may make which calls."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.grpc.server.operator_authenticator import is_loopback
from adapters.grpc.server.page_tokens import (
    decode_key_page_token,
    decode_page_token,
    encode_key_page_token,
    encode_page_token,
)
from adapters.grpc.server.permissions import PERMISSIONS, SERVICE
from domain.errors import InvalidField
from domain.keys import JOIN_KEY
from domain.keys import OPERATOR_KEY as OPERATORS
from entrypoints.testing import RunningApi, running_api
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import almost, canary, leak_detector

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
KEY = canary("registration key")
OPERATOR_KEY = canary("operator key")


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    with running_api() as api:
        yield api


def refusal(call: Callable[[], Any]) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    leak_detector.check("in a refusal", (error.details(), error.trailing_metadata()))
    return error


def code_of(call: Callable[[], Any]) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def field_of(error: Any) -> str:
    """The field that the BadRequest details name."""
    status = rpc_status.from_call(error)
    assert status
    bad_request = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad_request)
    return str(bad_request.field_violations[0].field)


def serves(api: RunningApi) -> bool:
    return api.client.RegisterServer(pb.RegisterServerRequest(name="witness")).server_id > 0


@pytest.mark.parametrize("name", ["", " ", "x" * 256, " box", "box ", "bo\nx", "bo\x00x", "\u200b"])
def test_an_invalid_name_is_refused_with_its_field(api: RunningApi, name: str) -> None:
    error = refusal(lambda: api.client.RegisterServer(pb.RegisterServerRequest(name=name)))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith("name ")
    assert field_of(error) == "name"
    assert serves(api)


@pytest.mark.parametrize("name", ["x" * 255, "böx-ß", "箱" * 255, "🐳" * 255, "a b"])
def test_any_printable_name_is_accepted(api: RunningApi, name: str) -> None:
    answer = api.client.RegisterServer(pb.RegisterServerRequest(name=name))

    assert answer.server.name == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, -1) for field in ("total_memory_mb", "cpu_cores", "available_memory_mb")),
        *((field, INT32_MAX) for field in ("total_memory_mb", "cpu_cores", "available_memory_mb")),
        ("available_cpu_millicores", -INT32_MAX),
        ("docker_version", "v" * 101),
        ("available_ports", [pb.PortRange(start=0, end=5, protocol="TCP")]),
        ("available_ports", [pb.PortRange(start=9, end=5, protocol="TCP")]),
        ("available_ports", [pb.PortRange(start=1, end=65536, protocol="UDP")]),
        ("available_ports", [pb.PortRange(start=1, end=5, protocol="tcp ")]),
    ],
)
def test_impossible_capabilities_are_refused_with_their_field_in_registrations_and_heartbeats(
    api: RunningApi, field: str, value: Any
) -> None:
    server_id = api.client.RegisterServer(pb.RegisterServerRequest(name="box")).server_id
    capabilities = pb.ServerCapabilities(**{field: value})
    register = pb.RegisterServerRequest(name="other", capabilities=capabilities)
    heartbeat = pb.HeartbeatRequest(server_id=server_id, capabilities=capabilities)

    for error in (
        refusal(lambda: api.client.RegisterServer(register)),
        refusal(lambda: api.client.Heartbeat(heartbeat)),
    ):
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert field_of(error).startswith(f"capabilities.{field}")
    assert serves(api)


def test_capabilities_of_zero_mean_unknown(api: RunningApi) -> None:
    request = pb.RegisterServerRequest(name="zero", capabilities=pb.ServerCapabilities())

    assert api.client.RegisterServer(request).server.capabilities == pb.ServerCapabilities()


@pytest.mark.parametrize("server_id", [0, -1, 424242, INT64_MAX, -INT64_MAX - 1])
def test_every_call_answers_not_found_for_unknown_and_negative_ids(
    api: RunningApi, server_id: int
) -> None:
    calls = [
        lambda: api.client.Heartbeat(pb.HeartbeatRequest(server_id=server_id)),
        lambda: api.client.GetServer(pb.GetServerRequest(server_id=server_id)),
        lambda: api.client.DeleteServer(pb.DeleteServerRequest(server_id=server_id)),
        lambda: api.client.UpdateServer(
            pb.UpdateServerRequest(server_id=server_id, name="x", update_paths=["name"])
        ),
        lambda: api.client.FetchConfiguration(pb.FetchConfigurationRequest(server_id=server_id)),
        lambda: api.client.LabelServer(pb.LabelServerRequest(server_id=server_id, unset=["a"])),
        lambda: api.client.GetEffectiveConfiguration(
            pb.GetEffectiveConfigurationRequest(server_id=server_id)
        ),
    ]
    # In these 0 is the place of a selector.
    if server_id:
        calls += [
            lambda: api.client.ListConfigurations(
                pb.ListConfigurationsRequest(server_id=server_id)
            ),
            lambda: api.client.PutConfiguration(
                pb.PutConfigurationRequest(server_id=server_id, name="a", document="{}")
            ),
        ]

    for call in calls:
        error = refusal(call)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error.details() == f"server {server_id} does not exist"


def test_a_name_that_exists_already_is_refused(api: RunningApi) -> None:
    api.client.CreateServer(pb.CreateServerRequest(name="taken"))
    again = refusal(lambda: api.client.CreateServer(pb.CreateServerRequest(name="taken")))
    other = api.client.CreateServer(pb.CreateServerRequest(name="free")).server
    rename = pb.UpdateServerRequest(server_id=other.server_id, name="taken", update_paths=["name"])

    assert again.code() is grpc.StatusCode.ALREADY_EXISTS
    assert refusal(lambda: api.client.UpdateServer(rename)).code() is (
        grpc.StatusCode.ALREADY_EXISTS
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, "update_paths"),
        ({"update_paths": ["server_id"]}, "update_paths[0]"),
        ({"update_paths": ["is_default", "nonsense"]}, "update_paths[1]"),
        ({"update_paths": ["status"], "status": "dead"}, "status"),
        ({"update_paths": ["name"], "name": ""}, "name"),
    ],
)
def test_an_invalid_update_is_answered_with_the_path_or_value(
    api: RunningApi, changes: dict[str, Any], field: str
) -> None:
    server_id = api.client.RegisterServer(pb.RegisterServerRequest(name="box")).server_id
    request = pb.UpdateServerRequest(server_id=server_id, **changes)
    error = refusal(lambda: api.client.UpdateServer(request))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field_of(error) == field


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"page_size": 101}, "page_size"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "rubbish"}, "page_token"),
        ({"page_token": "ä"}, "page_token"),
        ({"page_token": "YWZ0ZXI6LTE="}, "page_token"),
        ({"status": "dead"}, "status"),
        ({"approval": "maybe"}, "approval"),
        ({"selector": "region=nyc,"}, "selector"),
        ({"selector": " "}, "selector"),
        ({"not_seen_for_seconds": INT64_MAX}, "not_seen_for_seconds"),
        ({"not_seen_for_seconds": -1}, "not_seen_for_seconds"),
    ],
)
def test_an_invalid_list_request_is_answered_with_the_field(
    api: RunningApi, request_fields: dict[str, Any], field: str
) -> None:
    error = refusal(lambda: api.client.ListServers(pb.ListServersRequest(**request_fields)))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field_of(error) == field


@given(st.integers(1, INT64_MAX // 10))
def test_a_page_token_decodes_to_the_id_that_it_encodes(after: int) -> None:
    assert decode_page_token(encode_page_token(after)) == after


@given(st.from_regex(r"ok-[a-z2-7]{10}", fullmatch=True))
def test_a_page_token_for_keys_is_valid_for_its_kind_of_keys_only(key_id: str) -> None:
    token = encode_key_page_token(key_id)

    assert decode_key_page_token(token, OPERATORS) == key_id
    for decode in (decode_page_token, lambda token: decode_key_page_token(token, JOIN_KEY)):
        with pytest.raises(InvalidField):
            decode(token)


@given(st.text(max_size=40) | st.integers(0, 99).map(encode_page_token))
def test_any_other_page_token_is_refused_with_its_field(token: str) -> None:
    if token:
        with pytest.raises(InvalidField) as refused:
            decode_key_page_token(token, OPERATORS)

        assert refused.value.field == "page_token"


@given(st.text(max_size=40))
def test_any_other_page_token_with_a_number_is_refused_with_its_field(token: str) -> None:
    if token:
        with pytest.raises(InvalidField) as refused:
            decode_page_token(token)

        assert refused.value.field == "page_token"


@pytest.mark.parametrize(
    "document", ["", "{", "nul", "[1,]", "NaN", '{"a": Infinity}', "[" * 10**5]
)
def test_a_document_that_is_not_json_is_refused(api: RunningApi, document: str) -> None:
    server_id = api.client.RegisterServer(pb.RegisterServerRequest(name="box")).server_id
    request = pb.PutConfigurationRequest(server_id=server_id, name="a", document=document)
    error = refusal(lambda: api.client.PutConfiguration(request))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field_of(error) == "document"


@pytest.mark.parametrize("name", ["", "../etc", ".hidden", "a/b", "Ä", "x" * 101, "a\n"])
def test_a_configuration_name_must_be_a_valid_file_name(api: RunningApi, name: str) -> None:
    server_id = api.client.RegisterServer(pb.RegisterServerRequest(name="box")).server_id
    request = pb.PutConfigurationRequest(server_id=server_id, name=name, document="{}")
    error = refusal(lambda: api.client.PutConfiguration(request))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field_of(error) == "name"


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


@pytest.mark.parametrize("key", [*almost(KEY), "🔑"])
def test_a_wrong_key_is_refused_before_any_other_check(key: str) -> None:
    with running_api(registration_key=KEY) as api:
        request = pb.RegisterServerRequest(name="", registration_key=key)
        register = refusal(lambda: api.client.RegisterServer(request))
        fetch = refusal(
            lambda: api.client.FetchConfiguration(
                pb.FetchConfigurationRequest(server_id=1, registration_key=key)
            )
        )

        for error in (register, fetch):
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
            assert error.details() == "invalid registration key"
        assert not api.client.ListServers(pb.ListServersRequest()).servers


def test_an_unexpected_error_reveals_nothing_to_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_api() as api:

        def fail(*_: object) -> None:
            # Not planted: the log tells what nobody thought of, the client must not.
            raise RuntimeError("postgresql://manman:unseen@db/manman")

        monkeypatch.setattr("application.registration.register_server.check_name", fail)
        request = pb.RegisterServerRequest(name="a", registration_key=KEY)
        error = refusal(lambda: api.client.RegisterServer(request))

    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "internal error"
    assert "unseen" not in str(error.trailing_metadata())


def operator_calls(api: RunningApi, **options: Any) -> Iterator[grpc.StatusCode]:
    """What each of the operators' calls is answered, with the body of an empty message."""
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


@pytest.mark.parametrize(
    ("peer", "loopback"),
    [
        ("ipv4:127.0.0.1:53412", True),
        ("ipv4:127.8.9.10:1", True),
        ("ipv6:[::1]:53412", True),
        ("ipv6:%5B::1%5D:53412", True),
        ("ipv6:[::ffff:127.0.0.1]:53412", True),
        ("unix:/run/manman.sock", True),
        ("ipv4:10.0.0.7:53412", False),
        ("ipv4:128.0.0.1:53412", False),
        ("ipv6:[::ffff:10.0.0.7]:53412", False),
        ("ipv6:[fe80::1%25eth0]:53412", False),
        ("", False),
        ("rubbish", False),
    ],
)
def test_a_peer_on_this_machine_is_recognised(peer: str, loopback: bool) -> None:
    assert is_loopback(peer) is loopback
