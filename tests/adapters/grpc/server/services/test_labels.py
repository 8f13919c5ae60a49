"""Labels, selectors and the configuration of selectors, over the wire."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from entrypoints.testing import RunningApi, running_api
from protos.manman.v1 import manman_pb2 as pb


@pytest.fixture
def api() -> Iterator[RunningApi]:
    with running_api() as api:
        yield api


def register(api: RunningApi, name: str, **labels: str) -> int:
    return api.client.RegisterServer(
        pb.RegisterServerRequest(name=name, labels=pb.Labels(labels=labels))
    ).server_id


def refused_field(error: Any) -> tuple[grpc.StatusCode, str]:
    status = rpc_status.from_call(error)
    assert status
    bad_request = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad_request)
    return error.code(), str(bad_request.field_violations[0].field)


def put(api: RunningApi, **fields: Any) -> pb.Configuration:
    request = pb.PutConfigurationRequest(**fields)
    return api.client.PutConfiguration(request).configuration


def fetched(api: RunningApi, server_id: int) -> pb.FetchConfigurationResponse:
    return api.client.FetchConfiguration(pb.FetchConfigurationRequest(server_id=server_id))


def test_a_server_has_its_labels_and_those_that_an_operator_set(api: RunningApi) -> None:
    server_id = register(api, "web", region="nyc", tier="gold")
    request = pb.LabelServerRequest(server_id=server_id, set={"tier": "silver", "rack": "7"})
    labelled = api.client.LabelServer(request).server

    assert labelled == api.client.GetServer(pb.GetServerRequest(server_id=server_id)).server
    assert dict(labelled.labels) == {"region": "nyc", "tier": "silver", "rack": "7"}
    assert dict(labelled.operator_labels) == {"tier": "silver", "rack": "7"}

    request = pb.LabelServerRequest(server_id=server_id, unset=["tier"])
    labelled = api.client.LabelServer(request).server

    assert dict(labelled.labels) == {"region": "nyc", "tier": "gold", "rack": "7"}


def test_servers_are_listed_by_their_labels_in_pages(api: RunningApi) -> None:
    for number in range(5):
        register(api, f"box-{number}", region="nyc" if number % 2 == 0 else "ams")
    request = pb.ListServersRequest(selector="region in (nyc), !old", page_size=2)
    page = api.client.ListServers(request)
    request.page_token = page.next_page_token
    rest = api.client.ListServers(request)

    assert [server.name for server in page.servers] == ["box-0", "box-2"]
    assert [server.name for server in rest.servers] == ["box-4"]
    assert not rest.next_page_token


def test_servers_can_be_listed_by_approval(api: RunningApi) -> None:
    one, _ = register(api, "one"), register(api, "two")
    api.client.RejectServer(pb.RejectServerRequest(server_id=one))

    for approval, names in (("approved", ["two"]), ("rejected", ["one"]), ("pending", [])):
        found = api.client.ListServers(pb.ListServersRequest(approval=approval)).servers
        assert [server.name for server in found] == names


def test_a_document_belongs_to_a_selector_however_that_is_written(api: RunningApi) -> None:
    configuration = put(api, selector=" tier == gold, region in (nyc)", name="motd", document="1")
    get = pb.GetConfigurationRequest(selector="region=nyc,tier=gold", name="motd")

    assert configuration.selector == "region=nyc,tier=gold"
    assert api.client.GetConfiguration(get).configuration == configuration

    [listed] = api.client.ListConfigurations(pb.ListConfigurationsRequest()).configurations
    configuration.document = ""

    assert listed == configuration

    delete = pb.DeleteConfigurationRequest(selector="tier=gold,region=nyc", name="motd")
    api.client.DeleteConfiguration(delete)
    with pytest.raises(grpc.RpcError) as missing:
        api.client.GetConfiguration(get)
    error: Any = missing.value

    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == (
        "the selector 'region=nyc,tier=gold' has no configuration named 'motd'"
    )


def test_an_operator_sees_the_configuration_that_the_host_gets(api: RunningApi) -> None:
    server_id = register(api, "web", region="nyc")
    put(api, selector="region=nyc", name="motd", document="1")
    put(api, selector="region=nyc", name="limits", document="2")
    put(api, server_id=server_id, name="limits", document="3")
    answer = api.client.GetEffectiveConfiguration(
        pb.GetEffectiveConfigurationRequest(server_id=server_id)
    )

    assert [(found.name, found.selector) for found in answer.configurations] == [
        ("limits", ""),
        ("motd", "region=nyc"),
    ]
    changes = fetched(api, server_id)
    assert {found.name: found.document for found in changes.changed} == {"limits": "3", "motd": "1"}
    assert list(changes.names) == ["limits", "motd"]


def test_a_long_configuration_continues_in_the_next_response(api: RunningApi) -> None:
    server_id = register(api, "web", region="nyc")
    large = f'"{"x" * 250_000}"'
    for number in range(6):
        put(api, selector="region=nyc", name=f"d{number}", document=large)
    first = fetched(api, server_id)
    rest = api.client.FetchConfiguration(
        pb.FetchConfigurationRequest(server_id=server_id, after_revision=first.revision)
    )

    assert first.more
    assert not rest.more
    assert [found.name for found in (*first.changed, *rest.changed)] == [
        f"d{number}" for number in range(6)
    ]


@pytest.mark.parametrize("fields", [{}, {"server_id": 1, "selector": "a"}])
def test_a_document_belongs_to_a_server_or_to_a_selector(
    api: RunningApi, fields: dict[str, Any]
) -> None:
    register(api, "web")
    for call in (
        lambda: put(api, name="motd", document="{}", **fields),
        lambda: api.client.GetConfiguration(pb.GetConfigurationRequest(name="motd", **fields)),
        lambda: api.client.DeleteConfiguration(
            pb.DeleteConfigurationRequest(name="motd", **fields)
        ),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call()
        error: Any = refused.value

        assert refused_field(error) == (grpc.StatusCode.INVALID_ARGUMENT, "server_id")
        assert error.details() == "server_id or selector must be set, but not both"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "set"),
        ({"set": {"a b": "c"}}, "set"),
        ({"unset": ["a b"]}, "unset"),
        ({"set": {"a": "b"}, "unset": ["a"]}, "unset"),
    ],
)
def test_invalid_labels_are_refused_with_their_field(
    api: RunningApi, fields: dict[str, Any], field: str
) -> None:
    server_id = register(api, "web")
    with pytest.raises(grpc.RpcError) as refused:
        api.client.LabelServer(pb.LabelServerRequest(server_id=server_id, **fields))

    assert refused_field(refused.value) == (grpc.StatusCode.INVALID_ARGUMENT, field)


def test_a_registration_with_an_invalid_label_is_refused_with_its_field(
    api: RunningApi,
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        register(api, "web", a="b c")

    assert refused_field(refused.value) == (grpc.StatusCode.INVALID_ARGUMENT, "labels")
