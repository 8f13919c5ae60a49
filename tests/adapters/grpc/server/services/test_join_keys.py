"""The calls by which operators manage join keys, and hosts register with them, over the wire."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.grpc.client.api_probe import GrpcApiProbe
from adapters.grpc.client.operator_client import OperatorCallFailed, OperatorClient
from application.ports.host.control_plane import ControlPlaneRefused
from domain.join_key import NewJoinKey
from entrypoints.testing import RunningApi, running_api
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.grpc_errors import field_of, refusal

KEY = canary("registration key")
OPERATORS = canary("operator key")
_SAID_OF_A_KEY = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT)
STRANGE = f"jk-zzzzzzzzzz.{canary('join key')}"


@pytest.fixture
def api() -> Iterator[RunningApi]:
    with running_api(registration_key=KEY) as api:
        yield api


@contextmanager
def operator(api: RunningApi, key: str | None = None) -> Iterator[OperatorClient]:
    with closing(OperatorClient(api.address, key)) as client:
        yield client


def make(api: RunningApi, **terms: Any) -> pb.CreateJoinKeyResponse:
    answer: pb.CreateJoinKeyResponse = api.client.CreateJoinKey(pb.CreateJoinKeyRequest(**terms))
    return answer


def join(api: RunningApi, key: str, name: str = "web", **others: Any) -> pb.RegisterServerResponse:
    request = pb.RegisterServerRequest(name=name, registration_key=key, **others)
    answer: pb.RegisterServerResponse = api.client.RegisterServer(request)
    return answer


def denied(call: Callable[[], object]) -> str:
    error = refusal(call)
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    return str(error.details())


def test_a_new_key_has_the_requested_limits_and_its_secret_is_returned_only_once(
    api: RunningApi,
) -> None:
    made = make(
        api,
        environment="prod",
        name_pattern="game-*",
        labels={"tier": "gold"},
        uses=5,
        expires_in_seconds=3600,
        ephemeral=True,
        pre_approved=True,
    )
    now = int(api.clock.now().timestamp())
    key_id, _, secret = made.key.partition(".")

    assert made.join_key == pb.JoinKey(
        key_id=key_id,
        environment="prod",
        name_pattern="game-*",
        labels={"tier": "gold"},
        uses=5,
        expires_at=now + 3600,
        ephemeral=True,
        pre_approved=True,
        created_at=now,
        created_by="local",
    )
    assert len(secret) == 43
    assert not made.everybody_may_join
    listed = api.client.ListJoinKeys(pb.ListJoinKeysRequest())
    assert list(listed.join_keys) == [made.join_key]
    assert secret not in str(listed)


def test_hosts_register_with_a_key_until_it_is_used_up_and_then_get_an_error(
    api: RunningApi,
) -> None:
    made = make(api, uses=1, environment="prod", labels={"tier": "gold"}, ephemeral=True)
    first = join(api, made.key)
    again = join(api, made.key)

    assert again.server_id == first.server_id
    assert (first.server.environment, first.server.ephemeral) == ("prod", True)
    assert dict(first.server.operator_labels) == {"tier": "gold"}
    assert denied(lambda: join(api, made.key, "db")) == (
        f"the join key {made.join_key.key_id} has already admitted 1 server, its maximum"
    )
    [listed] = api.client.ListJoinKeys(pb.ListJoinKeysRequest()).join_keys
    assert (listed.uses, listed.used) == (1, 1)


def test_a_revoked_key_gets_its_own_error_and_an_unknown_one_that_of_a_wrong_key(
    api: RunningApi,
) -> None:
    made = make(api)
    server_id = join(api, made.key).server_id
    fetch = pb.FetchConfigurationRequest(server_id=server_id, registration_key=made.key)
    api.client.FetchConfiguration(fetch)
    revoked = api.client.RevokeJoinKey(
        pb.RevokeJoinKeyRequest(key_id=made.join_key.key_id)
    ).join_key

    assert revoked.revoked_at == int(api.clock.now().timestamp())
    assert revoked.used == 1
    was_revoked = f"the join key {revoked.key_id} was revoked"
    assert denied(lambda: join(api, made.key)) == was_revoked
    assert denied(lambda: api.client.FetchConfiguration(fetch)) == was_revoked
    for key in (STRANGE, f"{revoked.key_id}.{canary('join key')}"):
        assert denied(lambda key=key: join(api, key)) == "invalid registration key"  # type: ignore[misc]


def test_the_uses_of_a_key_include_the_address_of_the_host(api: RunningApi) -> None:
    made = make(api)
    for name in ("web", "db", "web"):
        join(api, made.key, name)
    request = pb.ListJoinKeyUsesRequest(key_id=made.join_key.key_id, page_size=1)
    first = api.client.ListJoinKeyUses(request)
    second = api.client.ListJoinKeyUses(
        pb.ListJoinKeyUsesRequest(
            key_id=made.join_key.key_id, page_size=1, page_token=first.next_page_token
        )
    )
    now = int(api.clock.now().timestamp())

    assert [*first.uses, *second.uses] == [
        pb.JoinKeyUse(
            server_id=1, name="web", address="127.0.0.1", first_at=now, last_at=now, times=2
        ),
        pb.JoinKeyUse(
            server_id=2, name="db", address="127.0.0.1", first_at=now, last_at=now, times=1
        ),
    ]
    assert second.next_page_token == ""


def test_an_operator_gets_all_pages_of_keys_and_uses(api: RunningApi) -> None:
    with operator(api) as client:
        made = [client.create_join_key(NewJoinKey()) for _ in range(101)]
        for n in range(101):
            join(api, made[0][1], f"web-{n}")

        assert {one.key.key_id for one in client.join_keys()} == {
            key.key.key_id for key, *_ in made
        }
        uses = list(client.join_key_uses(made[0][0].key.key_id))
        assert [use.server_id for use in uses] == list(range(1, 102))


def test_creating_a_key_warns_that_any_host_may_join() -> None:
    with running_api() as api:
        assert make(api).everybody_may_join


def test_a_key_records_the_operator_who_created_it() -> None:
    with running_api(registration_key=KEY, operator_key=OPERATORS) as api:
        with operator(api, OPERATORS) as client:
            made, *_ = client.create_join_key(NewJoinKey())
        with operator(api) as client, pytest.raises(OperatorCallFailed):
            client.create_join_key(NewJoinKey())

    assert made.key.created_by not in ("", "local")


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"environment": " "}, "environment"),
        ({"name_pattern": "x" * 256}, "name_pattern"),
        ({"labels": {"": ""}}, "labels"),
        ({"uses": -1}, "uses"),
        ({"uses": 2**63 - 1}, "uses"),
        ({"expires_in_seconds": 1}, "expires_in_seconds"),
        ({"expires_in_seconds": -(2**63)}, "expires_in_seconds"),
        ({"expires_in_seconds": 2**63 - 1}, "expires_in_seconds"),
    ],
)
def test_an_invalid_request_creates_no_key(
    api: RunningApi, terms: dict[str, Any], field: str
) -> None:
    assert field_of(refusal(lambda: make(api, **terms))) == field


def test_a_key_is_revoked_by_its_id_and_not_by_its_secret(api: RunningApi) -> None:
    made = make(api)
    for wrong in (made.key, "ok-aaaaaaaaaa", "", "jk-ÄÖ"):
        for call in (
            lambda wrong=wrong: api.client.RevokeJoinKey(pb.RevokeJoinKeyRequest(key_id=wrong)),
            lambda wrong=wrong: api.client.ListJoinKeyUses(pb.ListJoinKeyUsesRequest(key_id=wrong)),
        ):
            error = refusal(call)
            assert field_of(error) == "key_id"
            assert made.key.partition(".")[2] not in str(error)
    unknown = refusal(
        lambda: api.client.RevokeJoinKey(pb.RevokeJoinKeyRequest(key_id="jk-zzzzzzzzzz"))
    )
    assert unknown.code() is grpc.StatusCode.NOT_FOUND
    assert unknown.details() == "join key jk-zzzzzzzzzz does not exist"


def test_an_invented_page_token_is_refused(api: RunningApi) -> None:
    error = refusal(
        lambda: api.client.ListJoinKeys(pb.ListJoinKeysRequest(page_token="YWZ0ZXI6Nw=="))
    )

    assert field_of(error) == "page_token"


def test_the_doctor_of_a_host_checks_its_join_key(api: RunningApi) -> None:
    made = make(api, name_pattern="game-*", environment="prod")
    probe = GrpcApiProbe(api.address)

    assert probe.try_key(made.key).admitted
    assert not probe.try_key(STRANGE).admitted
    api.client.RevokeJoinKey(pb.RevokeJoinKeyRequest(key_id=made.join_key.key_id))
    with pytest.raises(ControlPlaneRefused, match="was revoked: set another key"):
        probe.try_key(made.key)


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    text=st.text(max_size=25),
    raw=st.binary(max_size=60),
    prefix=st.sampled_from(["", "jk-", "jk-aaaaaaaaaa", "jk-aaaaaaaaaa.", "ok-aaaaaaaaaa."]),
)
def test_no_text_sent_as_a_key_causes_an_internal_error(
    api: RunningApi, text: str, raw: bytes, prefix: str
) -> None:
    with grpc.insecure_channel(api.address) as channel:
        for method, field in (("RegisterServer", 3), ("FetchConfiguration", 2), ("Deregister", 2)):
            call: Any = channel.unary_unary(f"/manman.v1.ManManAPI/{method}")
            for shown in (prefix.encode() + text.encode(), prefix.encode() + raw):
                # The tag of a bytes field, its length and its content.
                error = refusal(partial(call, bytes([field << 3 | 2, len(shown)]) + shown))
                assert error.code() in _SAID_OF_A_KEY
