from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from entrypoints.testing import RunningApi, running_api
from protos.manman.v1 import manman_pb2 as pb
from tests.support.grpc_errors import field_of, refusal

INT64_MAX = 2**63 - 1


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    with running_api() as api:
        yield api


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
    # In these calls 0 means that a selector is used.
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
