import pytest

from application.liveness.record_heartbeat import Acknowledged
from domain.approval import Approval
from domain.errors import NotAdmitted, ServerNotFound
from domain.events import EventKind
from tests.support.decisions import REBOOTED, history, join, kinds, pending_server, send_heartbeat
from tests.support.fleet import Fleet


def test_a_pending_server_gets_its_configuration_only_after_approval(fleet: Fleet) -> None:
    server = pending_server(fleet)
    waiting = send_heartbeat(fleet, server)
    approved = fleet.approve(server.server_id)
    admitted = send_heartbeat(fleet, server)

    assert isinstance(waiting, Acknowledged)
    assert (waiting.config_revision, waiting.approval) == (0, Approval.PENDING)
    assert approved == fleet.get(server.server_id)
    assert isinstance(admitted, Acknowledged)
    assert (admitted.config_revision, admitted.approval) == (3, Approval.APPROVED)
    assert kinds(fleet, server.server_id)[-1] is EventKind.APPROVED
    assert history(fleet, server.server_id)[-1].cause == "an operator approved it"


def test_an_approved_machine_stays_approved_after_a_restart(fleet: Fleet) -> None:
    server = pending_server(fleet)
    fleet.approve(server.server_id)

    assert join(fleet, who=REBOOTED).approval is Approval.APPROVED


def test_a_second_approval_changes_nothing(fleet: Fleet) -> None:
    server = pending_server(fleet)
    fleet.approve(server.server_id)
    fleet.approve(server.server_id)

    assert kinds(fleet, server.server_id).count(EventKind.APPROVED) == 1


def test_approving_a_banned_server_lifts_the_ban_on_its_machine(fleet: Fleet) -> None:
    server = join(fleet)
    fleet.ban(server.server_id, "stolen")
    approved = fleet.approve(server.server_id)

    assert approved
    assert (approved.approval, approved.approval_reason) == (Approval.APPROVED, "")
    assert join(fleet).server_id == server.server_id
    assert join(fleet, "another").approval is Approval.APPROVED
    entries = [entry.cause for entry in history(fleet, server.server_id)]
    assert "an operator approved it and lifted the ban on its machine" in entries


def test_an_approval_lifts_a_ban_that_was_made_on_a_neighbour(fleet: Fleet) -> None:
    dev, prod = join(fleet, "dev"), join(fleet, "prod")
    fleet.ban(dev.server_id)
    fleet.approve(prod.server_id)

    assert join(fleet, "prod").server_id == prod.server_id
    with pytest.raises(NotAdmitted):
        join(fleet, "dev")
    entries = [entry.cause for entry in history(fleet, prod.server_id)]
    assert any(f"made on server {dev.server_id} (dev)" in cause for cause in entries)


def test_a_ban_outlives_its_server_and_can_still_be_lifted(fleet: Fleet) -> None:
    server_id = join(fleet).server_id
    fleet.ban(server_id)
    fleet.delete(server_id)
    with pytest.raises(NotAdmitted):
        join(fleet, "another")

    assert fleet.approve(server_id) is None
    assert join(fleet, "another").approval is Approval.APPROVED
    with pytest.raises(ServerNotFound):
        fleet.approve(server_id)
