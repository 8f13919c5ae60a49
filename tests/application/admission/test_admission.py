"""What operators decide about servers and machines, and what becomes of their hosts."""

from dataclasses import dataclass, field, replace

import pytest

from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.registration.register_server import Registration
from application.servers.refresh_server import RefreshServer
from domain.approval import Approval, ApprovalPolicy
from domain.configuration import Configuration
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import InvalidField, NotAdmitted, ServerNotApproved, ServerNotFound
from domain.events import EventKind
from domain.history import HistoryEntry
from domain.host_command import HostCommand
from domain.liveness import Status
from domain.machine_evidence import NO_EVIDENCE, Evidence
from domain.registration_rules import RegistrationRules
from domain.server import Server
from tests.support.builders import NOW, SECOND, evidence
from tests.support.fleet import Fleet

HERE = evidence("disk", "board", "boot 1", "process 1")
REBOOTED = evidence("disk", "board", "boot 2", "process 2")
ELSEWHERE = evidence("other disk", "other board", "other boot", "process 3")


@dataclass
class FakeHostCommands:
    sent: list[tuple[int, HostCommand]] = field(default_factory=list)

    def send(self, server_id: int, command: HostCommand) -> None:
        self.sent.append((server_id, command))


def join(fleet: Fleet, name: str = "web", who: Evidence = HERE) -> Server:
    return fleet.register(Registration(name, evidence=who)).server


def beat(fleet: Fleet, server: Server) -> object:
    credential = fleet.credentials.issue(server.server_id, server.epoch)
    [answer] = fleet.heartbeat([Heartbeat(server.server_id, credential=credential)])
    return answer


def history(fleet: Fleet, server_id: int) -> list[HistoryEntry]:
    with fleet.store.begin() as transaction:
        return list(transaction.history.of(server_id))


def kinds(fleet: Fleet, server_id: int) -> list[EventKind]:
    return [entry.kind for entry in history(fleet, server_id)]


def published(fleet: Fleet) -> list[tuple[EventKind, int]]:
    with fleet.store.begin() as transaction:
        return [(event.kind, event.server_id) for event in transaction.outbox.oldest(100)]


def wait_for_approval(fleet: Fleet) -> Server:
    """A server that waits, with a document that it does not get yet."""
    fleet.rules = RegistrationRules(approval_policy=ApprovalPolicy.MANUAL)
    fleet.restart()
    server = join(fleet)
    with fleet.store.begin() as transaction:
        transaction.configurations.put(server.server_id, Configuration("limits", "{}", 3, NOW))
        transaction.servers.save(replace(server, config_revision=3))
    return server


def test_who_waits_hears_of_its_configuration_only_once_it_is_approved(fleet: Fleet) -> None:
    server = wait_for_approval(fleet)
    waiting = beat(fleet, server)
    approved = fleet.approve(server.server_id)
    let_in = beat(fleet, server)

    assert isinstance(waiting, Acknowledged)
    assert (waiting.config_revision, waiting.approval) == (0, Approval.PENDING)
    assert approved == fleet.get(server.server_id)
    assert isinstance(let_in, Acknowledged)
    assert (let_in.config_revision, let_in.approval) == (3, Approval.APPROVED)
    assert kinds(fleet, server.server_id)[-1] is EventKind.APPROVED
    assert history(fleet, server.server_id)[-1].cause == "an operator approved it"


def test_an_approved_machine_does_not_wait_again_after_a_restart(fleet: Fleet) -> None:
    server = wait_for_approval(fleet)
    fleet.approve(server.server_id)

    assert join(fleet, who=REBOOTED).approval is Approval.APPROVED


def test_approving_twice_happens_once(fleet: Fleet) -> None:
    server = wait_for_approval(fleet)
    fleet.approve(server.server_id)
    fleet.approve(server.server_id)

    assert kinds(fleet, server.server_id).count(EventKind.APPROVED) == 1


def test_a_rejected_host_is_told_why_and_is_offline_at_once(fleet: Fleet) -> None:
    server = join(fleet)
    rejected = fleet.reject(server.server_id, "not ours")

    assert rejected == fleet.get(server.server_id)
    assert (rejected.approval, rejected.approval_reason) == (Approval.REJECTED, "not ours")
    assert rejected.presence.status is Status.OFFLINE
    assert "rejected by an operator: not ours" in str(beat(fleet, server))
    with pytest.raises(NotAdmitted, match="rejected by an operator: not ours"):
        join(fleet)
    told = history(fleet, server.server_id)[-2:]
    assert [entry.kind for entry in told] == [EventKind.REJECTED, EventKind.OFFLINE]
    assert {entry.cause for entry in told} == {"an operator rejected it: not ours"}


def test_a_rejected_host_is_not_called_silent_later(fleet: Fleet) -> None:
    server = join(fleet)
    fleet.reject(server.server_id)
    fleet.pass_time(100 * SECOND)

    assert EventKind.STALE not in kinds(fleet, server.server_id)


def test_a_rejected_machine_may_join_under_another_name(fleet: Fleet) -> None:
    fleet.reject(join(fleet).server_id)

    assert join(fleet, "web-2").approval is Approval.APPROVED


def test_rejecting_twice_is_told_once_unless_the_reason_is_another(fleet: Fleet) -> None:
    server_id = join(fleet).server_id
    for reason in ("one", "one", "two"):
        fleet.reject(server_id, reason)

    assert kinds(fleet, server_id).count(EventKind.REJECTED) == 2
    assert kinds(fleet, server_id).count(EventKind.OFFLINE) == 1
    assert fleet.get(server_id).approval_reason == "two"


@pytest.mark.parametrize("who", [HERE, REBOOTED])
@pytest.mark.parametrize("name", ["web", "innocent"])
def test_a_banned_machine_is_refused_under_every_name_also_after_a_restart(
    fleet: Fleet, who: Evidence, name: str
) -> None:
    server = join(fleet)
    fleet.ban(server.server_id, "stolen")

    assert "banned by an operator: stolen" in str(beat(fleet, server))
    with pytest.raises(NotAdmitted, match="stolen"):
        join(fleet, name, who)
    assert join(fleet, "other", ELSEWHERE).approval is Approval.APPROVED


def test_all_servers_of_a_banned_machine_are_banned_and_it_is_told_to_each(fleet: Fleet) -> None:
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


def test_approving_a_banned_server_lifts_the_ban_over_its_machine(fleet: Fleet) -> None:
    server = join(fleet)
    fleet.ban(server.server_id, "stolen")
    approved = fleet.approve(server.server_id)

    assert approved
    assert (approved.approval, approved.approval_reason) == (Approval.APPROVED, "")
    assert join(fleet).server_id == server.server_id
    assert join(fleet, "another").approval is Approval.APPROVED
    told = [entry.cause for entry in history(fleet, server.server_id)]
    assert "an operator approved it and lifted the ban over its machine" in told


def test_who_is_approved_is_let_in_also_when_the_ban_was_over_its_neighbour(fleet: Fleet) -> None:
    dev, prod = join(fleet, "dev"), join(fleet, "prod")
    fleet.ban(dev.server_id)
    fleet.approve(prod.server_id)

    assert join(fleet, "prod").server_id == prod.server_id
    with pytest.raises(NotAdmitted):
        join(fleet, "dev")
    told = [entry.cause for entry in history(fleet, prod.server_id)]
    assert any(f"made over server {dev.server_id} (dev)" in cause for cause in told)


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


def test_who_is_rejected_instead_of_banned_may_join_under_another_name(fleet: Fleet) -> None:
    server_id = join(fleet).server_id
    fleet.ban(server_id)
    fleet.reject(server_id)

    with pytest.raises(NotAdmitted):
        join(fleet)
    assert join(fleet, "another").approval is Approval.APPROVED


@pytest.mark.parametrize("decision", ["reject", "ban"])
def test_a_reason_against_the_rules_changes_nothing(fleet: Fleet, decision: str) -> None:
    server = join(fleet)

    with pytest.raises(InvalidField) as refused:
        getattr(fleet, decision)(server.server_id, "x" * 201)

    assert refused.value.field == "reason"
    assert fleet.get(server.server_id) == server


@pytest.mark.parametrize("decision", ["approve", "reject", "ban"])
def test_an_unknown_server_is_not_found(fleet: Fleet, decision: str) -> None:
    with pytest.raises(ServerNotFound):
        getattr(fleet, decision)(4711)


def test_who_is_not_approved_gets_no_commands(fleet: Fleet) -> None:
    server = wait_for_approval(fleet)
    hosts = FakeHostCommands()
    refresh = RefreshServer(fleet.store, fleet.clock, hosts)

    with pytest.raises(ServerNotApproved, match="is pending: approve it first"):
        refresh(server.server_id)
    assert hosts.sent == []

    fleet.approve(server.server_id)
    refresh(server.server_id)

    assert hosts.sent == [(server.server_id, command) for command in HostCommand]


@pytest.mark.parametrize(("mode", "noted"), [(Mode.WARN, 1), (Mode.OFF, 0)])
def test_commands_to_who_is_not_approved_may_be_warned_of_only(
    fleet: Fleet, mode: Mode, noted: int
) -> None:
    server = wait_for_approval(fleet)
    hosts = FakeHostCommands()
    enforcement = Enforcement({Switch.APPROVAL: mode})
    RefreshServer(fleet.store, fleet.clock, hosts, enforcement)(server.server_id)

    assert len(hosts.sent) == len(HostCommand)
    with fleet.store.begin() as transaction:
        found = transaction.dry_run_refusals.page(0, 10)
    assert [(entry.switch, entry.name) for entry in found] == [(Switch.APPROVAL, "web")] * noted
