"""Which host gets the server of a name, by evidence, policy and the decisions of operators."""

from dataclasses import replace

import pytest

from adapters.memory.store import MemoryStore
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.ports.store.bans import Ban
from application.registration.register_server import Registration
from domain.approval import Approval, ApprovalPolicy
from domain.conflict import Conflict, ConflictState, Resolution
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import InvalidField, NameInUse, NotAdmitted, SupersededRegistration
from domain.events import EventKind
from domain.liveness import Status
from domain.machine_evidence import Evidence, NamePolicy
from domain.registration_rules import RegistrationRules
from domain.server import Server
from tests.support.builders import INTERVAL, SECOND, evidence
from tests.support.fleet import Fleet

HERE = evidence("disk", "board", "boot 1", "process 1")
RESTARTED = replace(HERE, instance_id=evidence(instance="process 2").instance_id)
REBOOTED = evidence("disk", "board", "boot 2", "process 3")
ELSEWHERE = evidence("other disk", "other board", "other boot", "process 4")
CLONE = evidence("disk", "third board", "third boot", "process 5")
REIMAGED = evidence("new disk", "board", "boot 3", "process 6")
# The evidence of a host manager that cannot read the hardware id.
BLIND = evidence("disk", "", "boot 1", "process 1")
BLIND_REBOOTED = evidence("disk", "", "boot 2", "process 2")


def join(fleet: Fleet, host: Evidence, name: str = "web", address: str = "10.0.0.7") -> Server:
    return fleet.register(Registration(name, evidence=host, address=address)).server


def leave(fleet: Fleet, server: Server) -> None:
    fleet.heartbeat([Heartbeat(server.server_id, leaving=True, epoch=server.epoch)])


def heartbeat(fleet: Fleet, server: Server) -> object:
    credential = fleet.credentials.issue(server.server_id, server.epoch)
    [answer] = fleet.heartbeat([Heartbeat(server.server_id, credential=credential)])
    return answer


def event_kinds(fleet: Fleet, server_id: int) -> list[EventKind]:
    with fleet.store.begin() as transaction:
        return [entry.kind for entry in transaction.history.of(server_id)]


def conflicts(fleet: Fleet, state: ConflictState = ConflictState.OPEN) -> list[Conflict]:
    with fleet.store.begin() as transaction:
        return list(transaction.conflicts.page(state, after=0, size=100))


def resolve(fleet: Fleet, conflict: Conflict, resolution: Resolution, new_name: str = "") -> None:
    fleet.resolve(conflict.conflict_id, resolution, new_name)


def with_rules(rules: RegistrationRules) -> Fleet:
    return Fleet(MemoryStore(), rules=rules)


def only_warning_of(switch: Switch) -> RegistrationRules:
    return RegistrationRules(enforcement=Enforcement({switch: Mode.WARN}))


def dry_run_refusals(fleet: Fleet) -> list[tuple[Switch, str, int]]:
    with fleet.store.begin() as transaction:
        found = transaction.dry_run_refusals.page(after=0, size=100)
    return [(entry.switch, entry.name, entry.count) for entry in found]


@pytest.mark.parametrize("again", [HERE, RESTARTED, REBOOTED])
def test_a_machine_gets_its_server_back_although_it_seems_to_be_online(
    fleet: Fleet, again: Evidence
) -> None:
    first = join(fleet, HERE)

    assert join(fleet, again).server_id == first.server_id
    assert not conflicts(fleet)


def test_another_machine_is_refused_while_the_holder_is_alive(fleet: Fleet) -> None:
    holder = join(fleet, HERE, address="10.0.0.7")
    fleet.clock.advance(4 * SECOND)

    with pytest.raises(NameInUse) as refusal:
        join(fleet, ELSEWHERE, address="10.0.0.8")

    message = str(refusal.value)
    assert f"'web' is held by server {holder.server_id}" in message
    assert "another machine at 10.0.0.7, heard 4 s ago" in message
    assert (
        "machine-id, hardware id, Docker engine ID and boot id differ from this host's: set"
        in message
    )
    assert "set another SERVER_NAME or ENVIRONMENT" in message
    assert fleet.get(holder.server_id) == holder


def test_a_refused_claim_is_a_conflict_that_shows_both_sides(fleet: Fleet) -> None:
    holder = join(fleet, HERE, address="10.0.0.7")
    for _ in range(3):
        fleet.clock.advance(SECOND)
        with pytest.raises(NameInUse):
            join(fleet, ELSEWHERE, address="10.0.0.8")

    [conflict] = conflicts(fleet)
    assert (conflict.server_id, conflict.name, conflict.claims) == (holder.server_id, "web", 3)
    assert (conflict.holder.evidence, conflict.holder.address) == (HERE, "10.0.0.7")
    assert (conflict.challenger.evidence, conflict.challenger.address) == (ELSEWHERE, "10.0.0.8")
    assert event_kinds(fleet, holder.server_id).count(EventKind.CONTESTED) == 1


def test_two_challengers_are_two_conflicts(fleet: Fleet) -> None:
    join(fleet, HERE)
    for challenger in (ELSEWHERE, CLONE, ELSEWHERE):
        with pytest.raises(NameInUse):
            join(fleet, challenger)

    assert [conflict.claims for conflict in conflicts(fleet)] == [2, 1]


def test_the_successor_of_a_silent_machine_gets_its_server(fleet: Fleet) -> None:
    holder = join(fleet, HERE)
    with pytest.raises(NameInUse):
        join(fleet, ELSEWHERE)
    fleet.pass_time(5 * INTERVAL)
    successor = join(fleet, ELSEWHERE, address="10.0.0.8")

    assert successor.server_id == holder.server_id
    assert successor.address == "10.0.0.8"
    assert EventKind.TAKEN_OVER in event_kinds(fleet, holder.server_id)
    assert not conflicts(fleet)
    assert len(conflicts(fleet, ConflictState.LAPSED)) == 1


def test_a_reinstalled_machine_gets_its_server_and_the_history_says_so(fleet: Fleet) -> None:
    before = join(fleet, HERE)
    leave(fleet, before)
    after = join(fleet, REIMAGED)

    assert after.server_id == before.server_id
    assert EventKind.TAKEN_OVER in event_kinds(fleet, before.server_id)


def test_a_refused_clone_learns_what_to_change(fleet: Fleet) -> None:
    join(fleet, HERE)

    with pytest.raises(NameInUse, match="a cloned machine needs a machine-id of its own"):
        join(fleet, CLONE)


def test_a_possible_reboot_waits_until_the_holder_is_silent(fleet: Fleet) -> None:
    before = join(fleet, BLIND)
    with pytest.raises(NameInUse):
        join(fleet, BLIND_REBOOTED)

    assert not conflicts(fleet)

    fleet.pass_time(5 * INTERVAL)
    after = join(fleet, BLIND_REBOOTED)

    assert after.server_id == before.server_id
    assert not conflicts(fleet)
    assert EventKind.TAKEN_OVER not in event_kinds(fleet, before.server_id)


def test_a_possible_reboot_is_a_conflict_once_the_holder_sends_a_heartbeat(fleet: Fleet) -> None:
    holder = join(fleet, BLIND)
    with pytest.raises(NameInUse):
        join(fleet, BLIND_REBOOTED)
    fleet.clock.advance(SECOND)
    heartbeat(fleet, holder)
    with pytest.raises(NameInUse):
        join(fleet, BLIND_REBOOTED)

    [conflict] = conflicts(fleet)
    assert conflict.claims == 2


def test_without_evidence_the_name_alone_decides(fleet: Fleet) -> None:
    first = join(fleet, HERE)

    assert join(fleet, Evidence()).server_id == first.server_id
    assert join(fleet, RESTARTED).server_id == first.server_id
    with pytest.raises(NameInUse):
        join(fleet, ELSEWHERE)


def test_a_server_without_evidence_takes_that_of_its_next_registration(fleet: Fleet) -> None:
    first = join(fleet, Evidence())

    assert join(fleet, HERE).server_id == first.server_id
    with pytest.raises(NameInUse):
        join(fleet, ELSEWHERE)


def test_the_policy_may_give_the_name_to_the_newcomer() -> None:
    fleet = with_rules(RegistrationRules(NamePolicy.TAKEOVER))
    holder = join(fleet, HERE)
    newcomer = join(fleet, ELSEWHERE)

    assert newcomer.server_id == holder.server_id
    assert isinstance(heartbeat(fleet, holder), SupersededRegistration)
    assert isinstance(heartbeat(fleet, newcomer), Acknowledged)
    assert EventKind.TAKEN_OVER in event_kinds(fleet, holder.server_id)


def test_the_policy_may_be_the_plain_rule_by_which_both_continue() -> None:
    fleet = with_rules(RegistrationRules(NamePolicy.ALLOW))
    holder = join(fleet, HERE)
    newcomer = join(fleet, ELSEWHERE)

    assert newcomer.server_id == holder.server_id
    assert isinstance(heartbeat(fleet, holder), Acknowledged)
    assert isinstance(heartbeat(fleet, newcomer), Acknowledged)


def test_a_switch_that_warns_admits_the_claimant_and_records_it() -> None:
    fleet = with_rules(only_warning_of(Switch.NAME_CONFLICT))
    holder = join(fleet, HERE)

    assert join(fleet, ELSEWHERE).server_id == holder.server_id
    assert dry_run_refusals(fleet) == [(Switch.NAME_CONFLICT, "web", 1)]
    assert not conflicts(fleet)


def test_an_operator_gives_the_server_to_the_challenger(fleet: Fleet) -> None:
    holder = join(fleet, HERE)
    with pytest.raises(NameInUse):
        join(fleet, ELSEWHERE)
    [conflict] = conflicts(fleet)
    resolve(fleet, conflict, Resolution.ADOPT)
    adopted = join(fleet, ELSEWHERE)

    assert adopted.server_id == holder.server_id
    assert isinstance(heartbeat(fleet, holder), SupersededRegistration)


def test_a_renamed_challenger_gets_its_new_name_at_every_start(fleet: Fleet) -> None:
    holder = join(fleet, HERE)
    with pytest.raises(NameInUse):
        join(fleet, ELSEWHERE)
    [conflict] = conflicts(fleet)
    resolve(fleet, conflict, Resolution.RENAME, "web-2")
    renamed = join(fleet, ELSEWHERE)

    assert (renamed.name, renamed.server_id != holder.server_id) == ("web-2", True)
    assert join(fleet, ELSEWHERE).server_id == renamed.server_id
    assert join(fleet, RESTARTED).server_id == holder.server_id


def test_the_later_process_replaces_the_earlier_one(fleet: Fleet) -> None:
    earlier = join(fleet, HERE)
    fleet.clock.advance(SECOND)
    later = join(fleet, RESTARTED)

    assert later.epoch > earlier.epoch
    answer = heartbeat(fleet, earlier)
    assert isinstance(answer, SupersededRegistration)
    assert "10.0.0.7 at 2026-02-28 23:59:59 UTC" in str(answer)
    assert isinstance(heartbeat(fleet, later), Acknowledged)
    assert event_kinds(fleet, later.server_id).count(EventKind.REPLACED) == 1


def test_a_rebooted_machine_replaces_no_running_process(
    fleet: Fleet,
) -> None:
    before = join(fleet, HERE)
    after = join(fleet, REBOOTED)

    assert after.epoch > before.epoch
    assert EventKind.REPLACED not in event_kinds(fleet, after.server_id)


def test_a_replaced_process_neither_keeps_its_server_alive_nor_takes_it_down(
    fleet: Fleet,
) -> None:
    earlier = join(fleet, HERE)
    later = join(fleet, RESTARTED)
    fleet.clock.advance(SECOND)
    leave(fleet, earlier)
    heartbeat(fleet, earlier)

    assert fleet.get(later.server_id).presence == later.presence


def test_both_processes_in_one_batch_get_answers_of_their_own(fleet: Fleet) -> None:
    earlier = join(fleet, HERE)
    later = join(fleet, RESTARTED)
    server_id = later.server_id
    answers = fleet.heartbeat(
        [
            Heartbeat(server_id, epoch=later.epoch),
            Heartbeat(server_id, epoch=earlier.epoch, leaving=True),
            Heartbeat(server_id),
        ]
    )

    assert [type(answer) for answer in answers] == [
        Acknowledged,
        SupersededRegistration,
        Acknowledged,
    ]
    assert fleet.get(server_id).presence.status is Status.ONLINE


def test_an_invalid_epoch_is_refused_and_other_heartbeats_count(fleet: Fleet) -> None:
    joined = join(fleet, HERE)
    good = Heartbeat(joined.server_id, epoch=joined.epoch)
    answers = fleet.heartbeat([good, Heartbeat(joined.server_id, epoch=-1)])

    assert [type(answer) for answer in answers] == [Acknowledged, InvalidField]


def test_where_epochs_only_warn_a_replaced_process_is_recorded() -> None:
    fleet = with_rules(only_warning_of(Switch.EPOCH))
    earlier = join(fleet, HERE)
    join(fleet, RESTARTED)

    assert isinstance(heartbeat(fleet, earlier), Acknowledged)
    assert dry_run_refusals(fleet) == [(Switch.EPOCH, "web", 1)]


def test_a_repeated_registration_of_one_process_replaces_none(fleet: Fleet) -> None:
    first = join(fleet, HERE)
    again = join(fleet, HERE)

    assert EventKind.REPLACED not in event_kinds(fleet, again.server_id)
    # The answers may arrive in either order.
    assert isinstance(heartbeat(fleet, first), Acknowledged)
    assert isinstance(heartbeat(fleet, again), Acknowledged)


def test_an_epoch_from_before_a_restored_backup_counts(fleet: Fleet) -> None:
    server = join(fleet, HERE)

    assert isinstance(heartbeat(fleet, replace(server, epoch=server.epoch + 5)), Acknowledged)


def test_a_renamed_host_is_recognised(fleet: Fleet) -> None:
    old = join(fleet, HERE, "web-dev")
    leave(fleet, old)
    new = join(fleet, RESTARTED, "web-prod")

    assert new.server_id != old.server_id
    with fleet.store.begin() as transaction:
        [recognised] = [
            entry
            for entry in transaction.history.of(new.server_id)
            if entry.kind is EventKind.RECOGNISED
        ]
    assert f"manmanv2 servers merge {old.server_id} {new.server_id}" in recognised.cause


def test_a_second_host_manager_on_a_machine_is_not_taken_for_a_renamed_one(fleet: Fleet) -> None:
    dev = join(fleet, HERE, "web-dev")
    prod = join(fleet, RESTARTED, "web-prod")

    assert EventKind.RECOGNISED not in event_kinds(fleet, prod.server_id)
    assert prod.machine == dev.machine != 0


def test_a_ban_of_a_server_spares_the_machine_that_had_it_before(
    fleet: Fleet,
) -> None:
    taken = join(fleet, HERE, "a")
    leave(fleet, taken)
    kept = join(fleet, RESTARTED, "b")
    join(fleet, ELSEWHERE, "a")
    own = join(fleet, ELSEWHERE, "c")
    fleet.ban(taken.server_id, "")

    approvals = {server.name: server.approval for server in fleet.list(size=10).servers}
    assert approvals == {"a": Approval.BANNED, "b": Approval.APPROVED, "c": Approval.BANNED}
    assert fleet.get(kept.server_id).machine == kept.machine
    assert fleet.get(taken.server_id).machine == fleet.get(own.server_id).machine


def test_a_machine_that_gets_its_server_back_has_all_of_its_servers_again(fleet: Fleet) -> None:
    taken = join(fleet, HERE, "a")
    leave(fleet, taken)
    kept = join(fleet, RESTARTED, "b")
    leave(fleet, join(fleet, ELSEWHERE, "a"))
    back = join(fleet, HERE, "a")

    assert fleet.get(back.server_id).machine == kept.machine
    assert join(fleet, ELSEWHERE, "c").machine != kept.machine


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(RegistrationRules(name_policy=NamePolicy.ALLOW), id="allow"),
        pytest.param(only_warning_of(Switch.NAME_CONFLICT), id="warn"),
        pytest.param(
            RegistrationRules(enforcement=Enforcement({Switch.NAME_CONFLICT: Mode.OFF})), id="off"
        ),
    ],
)
def test_two_machines_that_share_a_server_keep_numbers_of_their_own(
    rules: RegistrationRules,
) -> None:
    fleet = with_rules(rules)
    join(fleet, HERE, "shared")
    kept = join(fleet, HERE, "kept")
    shared = join(fleet, ELSEWHERE, "shared")

    assert shared.machine not in (0, kept.machine)


def test_a_machine_without_a_readable_hardware_id_keeps_its_number_after_a_reboot(
    fleet: Fleet,
) -> None:
    servers = [join(fleet, BLIND, name) for name in ("a", "b")]
    for server in servers:
        leave(fleet, server)
    again = [join(fleet, BLIND_REBOOTED, name) for name in ("b", "a")]

    assert {server.machine for server in again} == {servers[0].machine}


def test_an_ephemeral_server_is_found_again_by_its_machine(fleet: Fleet) -> None:
    old = fleet.register(Registration("web-1a2b3c4d", evidence=HERE, ephemeral=True)).server
    leave(fleet, old)
    new = fleet.register(Registration("web-5e6f7a8b", evidence=RESTARTED, ephemeral=True)).server

    assert (new.server_id, new.name) == (old.server_id, "web-5e6f7a8b")
    assert EventKind.READOPTED in event_kinds(fleet, new.server_id)
    assert len(fleet.list(size=10).servers) == 1


def test_an_ephemeral_server_of_another_environment_is_not_reused(fleet: Fleet) -> None:
    old = fleet.register(Registration("a", "dev", evidence=HERE, ephemeral=True)).server
    leave(fleet, old)
    new = fleet.register(Registration("b", "prod", evidence=RESTARTED)).server

    assert new.server_id != old.server_id


def test_an_ephemeral_server_that_is_online_is_not_reused(fleet: Fleet) -> None:
    old = fleet.register(Registration("a", evidence=HERE, ephemeral=True)).server
    new = fleet.register(Registration("b", evidence=RESTARTED, ephemeral=True)).server

    assert new.server_id != old.server_id


def test_a_new_server_waits_for_approval_where_that_is_manual() -> None:
    fleet = with_rules(RegistrationRules(approval_policy=ApprovalPolicy.MANUAL))
    server = join(fleet, HERE)

    assert server.approval is Approval.PENDING
    assert EventKind.PENDING in event_kinds(fleet, server.server_id)
    assert heartbeat(fleet, server) == Acknowledged(0, INTERVAL, Approval.PENDING)
    assert join(fleet, RESTARTED).approval is Approval.PENDING


def test_approval_is_for_a_machine_and_not_for_its_name() -> None:
    fleet = with_rules(RegistrationRules(approval_policy=ApprovalPolicy.MANUAL))
    server = join(fleet, HERE)
    with fleet.store.begin() as transaction:
        record = transaction.servers.get(server.server_id, lock=True)
        transaction.servers.save(replace(record, approval=Approval.APPROVED))

    assert join(fleet, REBOOTED).approval is Approval.APPROVED

    leave(fleet, fleet.get(server.server_id))

    assert join(fleet, ELSEWHERE).approval is Approval.PENDING


def test_a_record_that_an_operator_made_is_approved() -> None:
    fleet = with_rules(RegistrationRules(approval_policy=ApprovalPolicy.MANUAL))
    fleet.create("web", "production")

    assert join(fleet, HERE).approval is Approval.APPROVED


@pytest.mark.parametrize("approval", [Approval.REJECTED, Approval.BANNED])
def test_a_refused_server_can_neither_register_nor_send_heartbeats(
    fleet: Fleet, approval: Approval
) -> None:
    server = join(fleet, HERE)
    refused = replace(server, approval=approval, approval_reason="decommissioned")
    with fleet.store.begin() as transaction:
        transaction.servers.save(refused)
    fleet.clock.advance(SECOND)

    with pytest.raises(NotAdmitted, match=f"was {approval} by an operator: decommissioned"):
        join(fleet, RESTARTED)
    assert isinstance(heartbeat(fleet, server), NotAdmitted)
    assert isinstance(heartbeat(fleet, replace(server, epoch=0)), NotAdmitted)
    assert fleet.get(server.server_id).presence == server.presence


@pytest.mark.parametrize("host", [HERE, RESTARTED, REBOOTED, REIMAGED, BLIND_REBOOTED])
def test_a_banned_machine_is_refused_under_any_name(fleet: Fleet, host: Evidence) -> None:
    with fleet.store.begin() as transaction:
        transaction.bans.add(Ban(7, "web", HERE, "compromised", fleet.clock.now()))

    with pytest.raises(NotAdmitted, match=r"server 7 \(web\): compromised"):
        join(fleet, host, "innocent")
    assert not fleet.list(size=10).servers
    assert join(fleet, ELSEWHERE, "innocent").name == "innocent"


def test_where_bans_only_warn_a_refused_server_is_admitted_and_recorded() -> None:
    fleet = with_rules(only_warning_of(Switch.BAN))
    server = join(fleet, HERE)
    with fleet.store.begin() as transaction:
        transaction.servers.save(replace(server, approval=Approval.REJECTED))
    fleet.clock.advance(SECOND)

    assert isinstance(heartbeat(fleet, server), Acknowledged)
    assert join(fleet, RESTARTED).server_id == server.server_id
    assert dry_run_refusals(fleet) == [(Switch.BAN, "web", 2)]


def test_where_name_conflicts_only_warn_both_hosts_go_on() -> None:
    fleet = with_rules(only_warning_of(Switch.NAME_CONFLICT))
    holder = join(fleet, HERE)
    fleet.clock.advance(SECOND)
    newcomer = join(fleet, ELSEWHERE)

    assert newcomer.epoch == holder.epoch
    assert isinstance(heartbeat(fleet, holder), Acknowledged)
    assert isinstance(heartbeat(fleet, newcomer), Acknowledged)
    with fleet.store.begin() as transaction:
        [refusal] = transaction.dry_run_refusals.page(after=0, size=9)
    assert (refusal.server_id, refusal.last_at) == (holder.server_id, fleet.clock.now())


def test_a_renamed_host_is_compared_with_the_server_that_was_online_last(fleet: Fleet) -> None:
    # The one that was online last is neither the first nor the last that registered.
    servers = [join(fleet, HERE, name) for name in ("a", "b", "c")]
    for server in (servers[0], servers[2], servers[1]):
        fleet.clock.advance(SECOND)
        leave(fleet, server)
    new = join(fleet, RESTARTED, "d")

    with fleet.store.begin() as transaction:
        [cause] = [
            (entry.at, entry.cause)
            for entry in transaction.history.of(new.server_id)
            if entry.kind is EventKind.RECOGNISED
        ]
    assert cause == (
        fleet.clock.now(),
        (
            "its machine was also server 2 (b), which is offline: if the host was renamed, run"
            " `manmanv2 servers merge 2 4`"
        ),
    )


def test_a_recognised_machine_still_waits_for_approval_of_its_new_server() -> None:
    fleet = with_rules(RegistrationRules(approval_policy=ApprovalPolicy.MANUAL))
    old = join(fleet, HERE, "old")
    fleet.approve(old.server_id)
    leave(fleet, old)
    new = join(fleet, RESTARTED, "new")

    assert EventKind.RECOGNISED in event_kinds(fleet, new.server_id)
    assert new.approval is Approval.PENDING


@pytest.mark.parametrize(
    ("old", "new", "is_reused"),
    [("", "", True), ("", "prod", True), ("prod", "prod", True), ("dev", "prod", False)],
)
def test_an_ephemeral_server_is_reused_within_its_environment(
    fleet: Fleet, old: str, new: str, is_reused: bool
) -> None:
    first = fleet.register(Registration("a", old, evidence=HERE, ephemeral=True)).server
    leave(fleet, first)
    fleet.clock.advance(SECOND)
    second = fleet.register(Registration("b", new, evidence=RESTARTED, ephemeral=True)).server

    assert (second.server_id == first.server_id) is is_reused
    with fleet.store.begin() as transaction:
        readopted = [
            (entry.at, entry.cause)
            for entry in transaction.history.of(first.server_id)
            if entry.kind is EventKind.READOPTED
        ]
    cause = "its machine registered again under the name b; it was a"
    assert readopted == ([(fleet.clock.now(), cause)] if is_reused else [])
