import pytest

from domain.approval import Approval
from domain.errors import NotAdmitted
from domain.events import EventKind
from domain.liveness import Status
from tests.support.builders import SECOND
from tests.support.decisions import history, join, kinds, send_heartbeat
from tests.support.fleet import Fleet


def test_a_rejected_host_gets_the_reason_and_is_offline_at_once(fleet: Fleet) -> None:
    server = join(fleet)
    rejected = fleet.reject(server.server_id, "not ours")

    assert rejected == fleet.get(server.server_id)
    assert (rejected.approval, rejected.approval_reason) == (Approval.REJECTED, "not ours")
    assert rejected.presence.status is Status.OFFLINE
    assert "rejected by an operator: not ours" in str(send_heartbeat(fleet, server))
    with pytest.raises(NotAdmitted, match="rejected by an operator: not ours"):
        join(fleet)
    entries = history(fleet, server.server_id)[-2:]
    assert [entry.kind for entry in entries] == [EventKind.REJECTED, EventKind.OFFLINE]
    assert {entry.cause for entry in entries} == {"an operator rejected it: not ours"}


def test_a_rejected_server_does_not_expire_later(fleet: Fleet) -> None:
    server = join(fleet)
    fleet.reject(server.server_id)
    fleet.pass_time(100 * SECOND)

    assert EventKind.STALE not in kinds(fleet, server.server_id)


def test_a_rejected_machine_may_join_under_another_name(fleet: Fleet) -> None:
    fleet.reject(join(fleet).server_id)

    assert join(fleet, "web-2").approval is Approval.APPROVED


def test_a_second_rejection_is_published_only_with_another_reason(fleet: Fleet) -> None:
    server_id = join(fleet).server_id
    for reason in ("one", "one", "two"):
        fleet.reject(server_id, reason)

    assert kinds(fleet, server_id).count(EventKind.REJECTED) == 2
    assert kinds(fleet, server_id).count(EventKind.OFFLINE) == 1
    assert fleet.get(server_id).approval_reason == "two"


def test_a_machine_rejected_instead_of_banned_may_join_under_another_name(fleet: Fleet) -> None:
    server_id = join(fleet).server_id
    fleet.ban(server_id)
    fleet.reject(server_id)

    with pytest.raises(NotAdmitted):
        join(fleet)
    assert join(fleet, "another").approval is Approval.APPROVED
