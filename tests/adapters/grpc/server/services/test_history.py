"""The history of a server, and merging two servers, over the wire."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from entrypoints.testing import RunningApi, running_api
from protos.manman.v1 import manman_pb2 as pb

UNKNOWN_SERVER = 4711


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    with running_api() as api:
        yield api


@pytest.fixture
def box(api: RunningApi, request: pytest.FixtureRequest) -> int:
    """The id of an online server."""
    name = f"box of {request.node.name}"
    return api.client.RegisterServer(pb.RegisterServerRequest(name=name)).server_id


@pytest.fixture
def old(api: RunningApi, request: pytest.FixtureRequest) -> int:
    """The id of an offline server with a document."""
    name = f"old box of {request.node.name}"
    server_id: int = api.client.CreateServer(pb.CreateServerRequest(name=name)).server.server_id
    api.client.PutConfiguration(
        pb.PutConfigurationRequest(server_id=server_id, name="games", document="{}")
    )
    return server_id


def refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details()


def explain(api: RunningApi, server_id: int) -> pb.ExplainServerResponse:
    answer: pb.ExplainServerResponse = api.client.ExplainServer(
        pb.ExplainServerRequest(server_id=server_id)
    )
    return answer


def merge(api: RunningApi, old: int, new: int) -> pb.Server:
    answer = api.client.MergeServers(pb.MergeServersRequest(old_server_id=old, new_server_id=new))
    server: pb.Server = answer.server
    return server


def test_an_explanation_has_sentences_and_the_history_oldest_first(
    api: RunningApi, box: int
) -> None:
    api.client.Heartbeat(pb.HeartbeatRequest(server_id=box, leaving=True))
    explanation = explain(api, box)

    assert explanation.sentences[0].startswith(f"Server {box} is box of")
    assert [entry.kind for entry in explanation.history] == ["registered", "online", "offline"]
    assert explanation.history[2].cause == "its host reported that it stops"
    assert explanation.history[0].at <= explanation.history[2].at <= time.time()


def test_an_explanation_names_the_address_of_the_host(api: RunningApi, box: int) -> None:
    explanation = explain(api, box)

    assert explanation.history[0].cause == "its host registered from 127.0.0.1"


def test_an_unknown_server_cannot_be_explained(api: RunningApi) -> None:
    assert refused(lambda: explain(api, UNKNOWN_SERVER)) == (
        grpc.StatusCode.NOT_FOUND,
        f"server {UNKNOWN_SERVER} does not exist",
    )


def test_a_merge_moves_everything_from_the_old_server_to_the_new_one(
    api: RunningApi, old: int, box: int
) -> None:
    server = merge(api, old, box)
    request = pb.FetchConfigurationRequest(server_id=box)

    assert server.server_id == box
    assert list(api.client.FetchConfiguration(request).names) == ["games"]
    assert refused(lambda: api.client.GetServer(pb.GetServerRequest(server_id=old)))[0] is (
        grpc.StatusCode.NOT_FOUND
    )
    assert "merged" in [entry.kind for entry in explain(api, box).history]


def test_an_impossible_merge_is_refused(api: RunningApi, old: int, box: int) -> None:
    assert refused(lambda: merge(api, box, old)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        f"server {box} is online: stop its host first",
    )
    assert refused(lambda: merge(api, old, UNKNOWN_SERVER))[0] is grpc.StatusCode.NOT_FOUND
    assert refused(lambda: merge(api, old, old)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "new_server_id is the same server as old_server_id",
    )
