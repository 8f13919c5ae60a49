"""The calls by which operators admit and refuse servers and resolve conflicts, over the wire."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
import pytest

from adapters.grpc.messages.hosts import evidence_to_message
from domain.enforcement import Enforcement, Mode, Switch
from domain.machine_evidence import Evidence
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.builders import evidence
from tests.support.grpc_errors import field_of, refusal

HERE = evidence("disk", "board", "boot", "process")
CLONE = evidence("disk", "other board", "other boot", "other process")


@contextmanager
def running(**settings: Any) -> Iterator[ManManAPIStub]:
    container = ApiContainer(
        settings=ApiSettings(
            database_url=Secret(IN_MEMORY), listen_address="127.0.0.1:0", **settings
        )
    )
    with serving(container) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ManManAPIStub(channel)
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


@pytest.fixture
def api() -> Iterator[ManManAPIStub]:
    with running() as api:
        yield api


def join(api: ManManAPIStub, who: Evidence = HERE, name: str = "web") -> pb.RegisterServerResponse:
    request = pb.RegisterServerRequest(name=name, evidence=evidence_to_message(who))
    answer: pb.RegisterServerResponse = api.RegisterServer(request)
    return answer


def beat(api: ManManAPIStub, joined: pb.RegisterServerResponse) -> pb.HeartbeatResponse:
    request = pb.HeartbeatRequest(
        server_id=joined.server_id, epoch=joined.epoch, credential=joined.credential
    )
    answer: pb.HeartbeatResponse = api.Heartbeat(request)
    return answer


def open_conflict(api: ManManAPIStub) -> pb.Conflict:
    join(api)
    assert refusal(lambda: join(api, CLONE)).code() is grpc.StatusCode.ALREADY_EXISTS
    [conflict] = api.ListConflicts(pb.ListConflictsRequest()).conflicts
    return conflict


def resolve(api: ManManAPIStub, resolution: str, new_name: str = "") -> pb.Conflict:
    request = pb.ResolveConflictRequest(conflict_id=1, resolution=resolution, new_name=new_name)
    answer: pb.ResolveConflictResponse = api.ResolveConflict(request)
    return answer.conflict


def test_a_pending_server_gets_its_revision_once_it_is_approved() -> None:
    with running(registration_approval="manual") as api:
        joined = join(api)
        api.PutConfiguration(
            pb.PutConfigurationRequest(server_id=joined.server_id, name="limits", document="{}")
        )
        waiting = beat(api, joined)
        refresh = refusal(
            lambda: api.RefreshServer(pb.RefreshServerRequest(server_id=joined.server_id))
        )
        approved = api.ApproveServer(pb.ApproveServerRequest(server_id=joined.server_id)).server
        let_in = beat(api, joined)

    assert joined.server.approval == "pending"
    assert (waiting.approval, waiting.config_revision) == ("pending", 0)
    assert refresh.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refresh.details() == f"server {joined.server_id} is pending: approve it first"
    assert approved.approval == "approved"
    assert (let_in.approval, let_in.config_revision) == ("", 1)


def test_a_rejected_host_is_denied_with_the_reason(api: ManManAPIStub) -> None:
    joined = join(api)
    rejected = api.RejectServer(
        pb.RejectServerRequest(server_id=joined.server_id, reason="not ours")
    ).server

    assert (rejected.approval, rejected.status) == ("rejected", "offline")
    for call in (lambda: join(api), lambda: beat(api, joined)):
        error = refusal(call)
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        assert error.details().endswith("was rejected by an operator: not ours")
    # A caller that guesses the id does not learn that the server exists.
    guess = pb.HeartbeatRequest(server_id=joined.server_id)
    assert refusal(lambda: api.Heartbeat(guess)).code() is grpc.StatusCode.NOT_FOUND


def test_a_banned_machine_is_denied_under_another_name_until_it_is_approved(
    api: ManManAPIStub,
) -> None:
    server_id = join(api).server_id
    banned = api.BanServer(pb.BanServerRequest(server_id=server_id, reason="stolen")).server
    error = refusal(lambda: join(api, HERE, "innocent"))
    api.DeleteServer(pb.DeleteServerRequest(server_id=server_id))
    lifted = api.ApproveServer(pb.ApproveServerRequest(server_id=server_id))

    assert banned.approval == "banned"
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "stolen" in error.details()
    assert not lifted.HasField("server")
    assert join(api, HERE, "innocent").server_id > server_id


@pytest.mark.parametrize("server_id", [0, -1, 4711, 2**63 - 1, -(2**63)])
def test_decisions_on_unknown_servers_are_not_found(api: ManManAPIStub, server_id: int) -> None:
    for call in (
        lambda: api.ApproveServer(pb.ApproveServerRequest(server_id=server_id)),
        lambda: api.RejectServer(pb.RejectServerRequest(server_id=server_id)),
        lambda: api.BanServer(pb.BanServerRequest(server_id=server_id)),
    ):
        error = refusal(call)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error.details() == f"server {server_id} does not exist"


def test_an_invalid_reason_is_refused_with_its_field(api: ManManAPIStub) -> None:
    server_id = join(api).server_id
    for call in (
        lambda: api.RejectServer(pb.RejectServerRequest(server_id=server_id, reason="a\nb")),
        lambda: api.BanServer(pb.BanServerRequest(server_id=server_id, reason="x" * 201)),
    ):
        error = refusal(call)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert field_of(error) == "reason"


def test_a_conflict_shows_both_sides(api: ManManAPIStub) -> None:
    conflict = open_conflict(api)

    assert (conflict.name, conflict.state, conflict.claims) == ("web", "open", 1)
    assert (conflict.resolution, conflict.new_name) == ("", "")
    assert conflict.holder.evidence == evidence_to_message(HERE)
    assert conflict.challenger.evidence == evidence_to_message(CLONE)
    assert conflict.holder.address == conflict.challenger.address == "127.0.0.1"
    assert 0 < conflict.holder.last_seen <= conflict.challenger.last_seen
    assert list(conflict.agreeing) == ["machine_id", "engine_id"]
    assert list(conflict.differing) == ["hardware_id", "boot_id"]
    assert api.GetConflict(pb.GetConflictRequest(conflict_id=1)).conflict == conflict


def test_the_challenger_adopts_the_server(api: ManManAPIStub) -> None:
    holder = join(api)
    open_conflict(api)
    resolved = resolve(api, "adopt")

    assert (resolved.state, resolved.resolution) == ("resolved", "adopt")
    assert join(api, CLONE).server_id == holder.server_id
    assert refusal(lambda: beat(api, holder)).code() is grpc.StatusCode.FAILED_PRECONDITION
    assert list(api.ListConflicts(pb.ListConflictsRequest()).conflicts) == []
    in_state = pb.ListConflictsRequest(state="resolved")
    assert list(api.ListConflicts(in_state).conflicts) == [resolved]


def test_the_challenger_joins_under_another_name(api: ManManAPIStub) -> None:
    holder = open_conflict(api).server_id
    resolved = resolve(api, "rename", "web-2")
    renamed = join(api, CLONE)

    assert (resolved.resolution, resolved.new_name) == ("rename", "web-2")
    assert (renamed.server.name, renamed.server_id == holder) == ("web-2", False)


def test_the_evicted_host_gets_an_error_that_says_so(api: ManManAPIStub) -> None:
    holder = join(api)
    open_conflict(api)
    resolve(api, "evict")
    again = refusal(lambda: join(api))

    assert refusal(lambda: beat(api, holder)).code() is grpc.StatusCode.NOT_FOUND
    assert again.code() is grpc.StatusCode.ALREADY_EXISTS
    assert "reserved for another machine, to which an operator gave it" in again.details()
    assert join(api, CLONE).server_id > holder.server_id


@pytest.mark.parametrize(
    ("resolution", "new_name", "field"),
    [
        ("", "", "resolution"),
        ("destroy", "", "resolution"),
        ("rename", "", "new_name"),
        ("rename", "web", "new_name"),
        ("evict", "web-2", "new_name"),
    ],
)
def test_a_resolution_says_which_field_is_wrong(
    api: ManManAPIStub, resolution: str, new_name: str, field: str
) -> None:
    open_conflict(api)
    error = refusal(lambda: resolve(api, resolution, new_name))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field_of(error) == field


def test_a_conflict_can_be_resolved_only_once_and_an_unknown_one_never(api: ManManAPIStub) -> None:
    unknown = refusal(lambda: resolve(api, "adopt"))
    open_conflict(api)
    resolve(api, "adopt")
    again = refusal(lambda: resolve(api, "evict"))

    assert unknown.code() is grpc.StatusCode.NOT_FOUND
    assert unknown.details() == "conflict 1 does not exist"
    assert again.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert again.details() == "conflict 1 is already resolved"


def test_pages_of_conflicts_follow_each_other(api: ManManAPIStub) -> None:
    for n in range(5):
        join(api, HERE, f"web-{n}")
        refusal(partial(join, api, CLONE, f"web-{n}"))
    first = api.ListConflicts(pb.ListConflictsRequest(page_size=3))
    last = api.ListConflicts(pb.ListConflictsRequest(page_size=3, page_token=first.next_page_token))

    names = [[conflict.name for conflict in page.conflicts] for page in (first, last)]
    assert names == [["web-0", "web-1", "web-2"], ["web-3", "web-4"]]
    assert last.next_page_token == ""


def test_pages_of_dry_run_refusals_follow_each_other() -> None:
    with running(enforcement=Enforcement({Switch.BAN: Mode.WARN})) as api:
        for n in range(5):
            server_id = join(api, HERE, f"web-{n}").server_id
            api.RejectServer(pb.RejectServerRequest(server_id=server_id, reason="not ours"))
            for _ in range(2):
                join(api, HERE, f"web-{n}")
        first = api.ListWouldReject(pb.ListWouldRejectRequest(page_size=3))
        last = api.ListWouldReject(
            pb.ListWouldRejectRequest(page_size=3, page_token=first.next_page_token)
        )

    names = [[entry.name for entry in page.would_reject] for page in (first, last)]
    assert names == [["web-0", "web-1", "web-2"], ["web-3", "web-4"]]
    assert last.next_page_token == ""
    entry = first.would_reject[0]
    assert (entry.switch, entry.server_id, entry.count) == ("ban", 1, 2)
    assert entry.reason == "server 1 (web-0) was rejected by an operator: not ours"
    assert 0 < entry.first_at <= entry.last_at


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"page_size": 101}, "page_size"),
        ({"page_token": "rubbish"}, "page_token"),
        ({"state": "ajar"}, "state"),
    ],
)
def test_an_invalid_list_request_is_answered_with_the_field(
    api: ManManAPIStub, fields: dict[str, Any], field: str
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: api.ListConflicts(pb.ListConflictsRequest(**fields))
    ]
    if field != "state":
        calls.append(lambda: api.ListWouldReject(pb.ListWouldRejectRequest(**fields)))

    for call in calls:
        error = refusal(call)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert field_of(error) == field
