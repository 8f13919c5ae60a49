from collections.abc import Iterator

import grpc
import pytest

from entrypoints.testing import RunningApi, running_api
from protos.manman.v1 import manman_pb2 as pb
from tests.support.grpc_errors import field_of, refusal


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    with running_api() as api:
        yield api


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
