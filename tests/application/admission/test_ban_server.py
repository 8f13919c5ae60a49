from dataclasses import replace

import pytest

from domain.approval import Approval
from domain.errors import NotAdmitted
from domain.events import EventKind
from domain.liveness import Status
from domain.machine_evidence import NO_EVIDENCE, Evidence
from tests.support.builders import evidence
from tests.support.decisions import HERE, REBOOTED, history, join, send_heartbeat
from tests.support.fleet import Fleet

ELSEWHERE = evidence("other disk", "other board", "other boot", "process 3")


def published(fleet: Fleet) -> list[tuple[EventKind, int]]:
    with fleet.store.begin() as transaction:
        return [(event.kind, event.server_id) for event in transaction.outbox.oldest(100)]


@pytest.mark.parametrize("who", [HERE, REBOOTED])
@pytest.mark.parametrize("name", ["web", "innocent"])
def test_a_banned_machine_is_refused_under_any_name_even_after_a_restart(
    fleet: Fleet, who: Evidence, name: str
) -> None:
    server = join(fleet)
    fleet.ban(server.server_id, "stolen")

    assert "banned by an operator: stolen" in str(send_heartbeat(fleet, server))
    with pytest.raises(NotAdmitted, match="stolen"):
        join(fleet, name, who)
    assert join(fleet, "other", ELSEWHERE).approval is Approval.APPROVED


def test_all_servers_of_a_banned_machine_are_banned(fleet: Fleet) -> None:
    dev, prod = join(fleet, "dev"), join(fleet, "prod", replace(HERE, instance_id=""))
    other = join(fleet, "other", ELSEWHERE)
    fleet.ban(dev.server_id, "stolen")

    for server in (dev, prod):
        banned = fleet.get(server.server_id)
        assert (banned.approval, banned.approval_reason) == (Approval.BANNED, "stolen")
        assert banned.presence.status is Status.OFFLINE
    assert fleet.get(other.server_id).approval is Approval.APPROVED
    assert history(fleet, dev.server_id)[-1].cause == (
        f"an operator banned it and its machine, and with them server {prod.server_id} (prod):"
        " stolen"
    )
    assert history(fleet, prod.server_id)[-1].cause == (
        f"an operator banned its machine as server {dev.server_id} (dev): stolen"
    )
    assert published(fleet)[-4:] == [
        (EventKind.BANNED, dev.server_id),
        (EventKind.OFFLINE, dev.server_id),
        (EventKind.BANNED, prod.server_id),
        (EventKind.OFFLINE, prod.server_id),
    ]


def test_a_host_without_evidence_is_banned_by_its_name_alone(fleet: Fleet) -> None:
    server = join(fleet, who=NO_EVIDENCE)
    fleet.ban(server.server_id)

    with pytest.raises(NotAdmitted):
        join(fleet, who=NO_EVIDENCE)
    assert join(fleet, "other", NO_EVIDENCE).approval is Approval.APPROVED
    assert "by its name alone" in history(fleet, server.server_id)[-1].cause
