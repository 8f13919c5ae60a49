"""An operator's decision about two machines with the same name applies to their next claims."""

from itertools import pairwise

import pytest

from application.admission.list_conflicts import ListConflicts
from application.admission.list_dry_run_refusals import ListDryRunRefusals
from application.liveness.record_heartbeat import Heartbeat
from application.registration.register_server import Registration
from application.removal.restore_server import RestoreServer
from application.servers.update_server import ServerChanges
from domain.conflict import Conflict, ConflictState, Resolution
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import (
    ConflictAlreadyResolved,
    ConflictNotFound,
    InvalidField,
    NameInUse,
    ServerNameTaken,
    ServerNotFound,
    SupersededRegistration,
)
from domain.events import EventKind
from domain.history import HistoryEntry
from domain.machine_evidence import Evidence, NamePolicy
from domain.registration_rules import RegistrationRules
from domain.server import Server
from tests.support.builders import INTERVAL, SECOND, evidence
from tests.support.fleet import Fleet

HOLDER = evidence("disk", "board", "boot", "process")
HOLDER_REBOOTED = evidence("disk", "board", "boot 2", "process 2")
CHALLENGER = evidence("other disk", "other board", "other boot", "other process")
CHALLENGER_REBOOTED = evidence("other disk", "other board", "other boot 2", "other process 2")
THIRD = evidence("third disk", "third board", "third boot", "third process")
ADOPT, RENAME, EVICT = Resolution


def join(fleet: Fleet, who: Evidence, name: str = "web") -> Server:
    addresses = {CHALLENGER.machine_id: "10.0.0.8", HOLDER.machine_id: "10.0.0.7"}
    address = addresses.get(who.machine_id, "10.0.0.9")
    return fleet.register(Registration(name, evidence=who, address=address)).server


def refused(fleet: Fleet, who: Evidence) -> str:
    with pytest.raises(NameInUse) as refusal:
        join(fleet, who)
    return str(refusal.value)


def contest(fleet: Fleet, holder: Evidence = HOLDER, challenger: Evidence = CHALLENGER) -> Conflict:
    """The newest conflict, about a name that the holder has or gets."""
    join(fleet, holder)
    refused(fleet, challenger)
    return conflicts(fleet)[-1]


def conflicts(fleet: Fleet, state: ConflictState = ConflictState.OPEN) -> list[Conflict]:
    return list(ListConflicts(fleet.store)(size=100, state=state).conflicts)


def heartbeat(fleet: Fleet, server: Server) -> object:
    [answer] = fleet.heartbeat([Heartbeat(server.server_id, epoch=server.epoch)])
    return answer


def history(fleet: Fleet, server_id: int) -> list[HistoryEntry]:
    with fleet.store.begin() as transaction:
        return list(transaction.history.of(server_id))


def test_the_challenger_adopts_the_server_and_its_holder_is_told_to_stop(fleet: Fleet) -> None:
    holder = join(fleet, HOLDER)
    resolved = fleet.resolve(contest(fleet).conflict_id, ADOPT)
    adopted = join(fleet, CHALLENGER)

    assert (resolved.state, resolved.resolution) == (ConflictState.RESOLVED, ADOPT)
    assert adopted.server_id == holder.server_id
    assert isinstance(heartbeat(fleet, holder), SupersededRegistration)
    entries = {entry.kind: entry for entry in history(fleet, holder.server_id)}
    assert entries[EventKind.CONFLICT_RESOLVED].cause == (
        "an operator gave it to the other machine at 10.0.0.8 that claims its name, which gets it"
        f" at its next claim (conflict {resolved.conflict_id})"
    )
    assert "hardware_id" in entries[EventKind.CONFLICT_RESOLVED].differing
    assert EventKind.TAKEN_OVER in entries


def test_the_holder_keeps_the_server_until_the_challenger_claims_it(fleet: Fleet) -> None:
    conflict = contest(fleet)
    fleet.resolve(conflict.conflict_id, ADOPT)

    again = join(fleet, HOLDER_REBOOTED)
    assert again.server_id == conflict.server_id

    join(fleet, CHALLENGER_REBOOTED)

    assert isinstance(heartbeat(fleet, again), SupersededRegistration)


@pytest.mark.parametrize("policy", NamePolicy)
@pytest.mark.parametrize("is_alive", [True, False])
def test_a_machine_that_lost_a_server_does_not_get_it_back(
    fleet: Fleet, policy: NamePolicy, is_alive: bool
) -> None:
    fleet.resolve(contest(fleet).conflict_id, ADOPT)
    adopted = join(fleet, CHALLENGER)
    fleet.rules = RegistrationRules(policy)
    fleet.restart()
    if not is_alive:
        fleet.pass_time(5 * INTERVAL)

    reason = refused(fleet, HOLDER_REBOOTED)
    assert ", and to which an operator gave it (conflict 1): set another SERVER_NAME" in reason
    assert join(fleet, CHALLENGER_REBOOTED).server_id == adopted.server_id


def test_a_third_machine_can_still_take_over_from_a_silent_one(fleet: Fleet) -> None:
    fleet.resolve(contest(fleet).conflict_id, ADOPT)
    adopted = join(fleet, CHALLENGER)
    fleet.pass_time(5 * INTERVAL)

    assert join(fleet, THIRD).server_id == adopted.server_id


def test_an_operator_can_reverse_a_decision_again_and_again(fleet: Fleet) -> None:
    server_id = join(fleet, HOLDER).server_id
    for winner, loser in pairwise([CHALLENGER, HOLDER] * 2):
        refused(fleet, winner)
        [conflict] = conflicts(fleet)
        fleet.resolve(conflict.conflict_id, ADOPT)

        assert join(fleet, winner).server_id == server_id
        assert "to which an operator gave it" in refused(fleet, loser)


def test_the_last_machine_to_adopt_a_server_keeps_it(fleet: Fleet) -> None:
    server_id = join(fleet, HOLDER).server_id
    refused(fleet, THIRD)
    refused(fleet, CHALLENGER)
    of_third, of_challenger = conflicts(fleet)
    fleet.resolve(of_challenger.conflict_id, ADOPT)
    join(fleet, CHALLENGER)
    fleet.clock.advance(SECOND)
    fleet.resolve(of_third.conflict_id, ADOPT)

    assert join(fleet, THIRD).server_id == server_id
    refused(fleet, CHALLENGER)
    refused(fleet, HOLDER)
    assert join(fleet, THIRD).server_id == server_id


def test_after_a_rename_both_machines_have_a_server(fleet: Fleet) -> None:
    holder = join(fleet, HOLDER)
    resolved = fleet.resolve(contest(fleet).conflict_id, RENAME, "web-2")
    renamed = join(fleet, CHALLENGER)

    assert (resolved.resolution, resolved.new_name) == (RENAME, "web-2")
    assert (renamed.name, renamed.server_id == holder.server_id) == ("web-2", False)
    assert join(fleet, CHALLENGER_REBOOTED).server_id == renamed.server_id
    assert join(fleet, HOLDER_REBOOTED).server_id == holder.server_id
    entries = {entry.kind: entry.cause for entry in history(fleet, holder.server_id)}
    assert "joins as web-2 (conflict 1)" in entries[EventKind.CONFLICT_RESOLVED]


def test_a_renamed_machine_that_already_has_the_name_keeps_it(fleet: Fleet) -> None:
    conflict = contest(fleet)
    fleet.resolve(conflict.conflict_id, RENAME, "web-2")
    renamed = join(fleet, CHALLENGER)
    fleet.delete(conflict.server_id, force=True)
    fleet.update(renamed.server_id, ServerChanges(name="web"))

    assert join(fleet, CHALLENGER_REBOOTED).server_id == renamed.server_id


def test_a_new_name_may_belong_to_a_server_that_an_operator_created(fleet: Fleet) -> None:
    prepared = fleet.create("web-2", "production")
    fleet.resolve(contest(fleet).conflict_id, RENAME, "web-2")

    assert join(fleet, CHALLENGER).server_id == prepared.server_id


def test_a_new_name_may_belong_to_a_server_of_the_same_machine(fleet: Fleet) -> None:
    own = join(fleet, CHALLENGER, "web-2")
    fleet.resolve(contest(fleet).conflict_id, RENAME, "web-2")

    assert join(fleet, CHALLENGER_REBOOTED).server_id == own.server_id


def test_a_new_name_of_another_machine_is_refused(fleet: Fleet) -> None:
    join(fleet, THIRD, "web-2")
    conflict = contest(fleet)

    with pytest.raises(ServerNameTaken):
        fleet.resolve(conflict.conflict_id, RENAME, "web-2")
    assert conflicts(fleet) == [conflict]


@pytest.mark.parametrize(
    ("resolution", "new_name"),
    [(RENAME, ""), (RENAME, " web"), (RENAME, "x" * 256), (RENAME, "web"), (ADOPT, "web-2")],
)
def test_an_invalid_new_name_is_refused(
    fleet: Fleet, resolution: Resolution, new_name: str
) -> None:
    conflict = contest(fleet)

    with pytest.raises(InvalidField) as error:
        fleet.resolve(conflict.conflict_id, resolution, new_name)

    assert error.value.field == "new_name"
    assert conflicts(fleet) == [conflict]


def test_an_evicted_holder_loses_its_server_and_the_challenger_gets_an_empty_one(
    fleet: Fleet,
) -> None:
    holder = join(fleet, HOLDER)
    conflict = contest(fleet)
    fleet.resolve(conflict.conflict_id, EVICT)

    assert isinstance(heartbeat(fleet, holder), ServerNotFound)
    reason = refused(fleet, HOLDER)
    assert (
        "'web' is reserved for another machine, to which an operator gave it (conflict 1)" in reason
    )
    assert f"`manmanv2 servers restore {holder.server_id}`" in reason
    newcomer = join(fleet, CHALLENGER)
    assert (newcomer.name, newcomer.server_id > holder.server_id) == ("web", True)
    kinds = [entry.kind for entry in history(fleet, holder.server_id)]
    assert kinds[-2:] == [EventKind.CONFLICT_RESOLVED, EventKind.DELETED]


@pytest.mark.parametrize("is_alive", [True, False])
def test_an_evicted_machine_does_not_get_the_name_back(fleet: Fleet, is_alive: bool) -> None:
    fleet.resolve(contest(fleet).conflict_id, EVICT)
    join(fleet, CHALLENGER)
    if not is_alive:
        fleet.pass_time(5 * INTERVAL)

    assert "to which an operator gave it" in refused(fleet, HOLDER_REBOOTED)
    assert join(fleet, HOLDER, "elsewhere").name == "elsewhere"


def test_a_third_machine_may_get_the_name_before_the_challenger(fleet: Fleet) -> None:
    fleet.resolve(contest(fleet).conflict_id, EVICT)
    join(fleet, THIRD)

    assert "is held by server" in refused(fleet, CHALLENGER)


def test_an_evicted_machine_is_admitted_again_after_its_server_is_restored(fleet: Fleet) -> None:
    holder = join(fleet, HOLDER)
    fleet.resolve(contest(fleet).conflict_id, EVICT)
    RestoreServer(fleet.store, fleet.clock)(holder.server_id)

    assert join(fleet, HOLDER_REBOOTED).server_id == holder.server_id
    assert "is held by server" in refused(fleet, CHALLENGER)


def test_a_switch_in_warn_mode_only_records_a_lost_claim(fleet: Fleet) -> None:
    fleet.resolve(contest(fleet).conflict_id, EVICT)
    fleet.rules = RegistrationRules(enforcement=Enforcement({Switch.NAME_CONFLICT: Mode.WARN}))
    fleet.restart()

    assert join(fleet, HOLDER).name == "web"
    [entry] = ListDryRunRefusals(fleet.store)(size=10).entries
    assert (entry.switch, entry.name, entry.server_id) == (Switch.NAME_CONFLICT, "web", 0)
    assert "is reserved for another machine, to which an operator gave it" in entry.reason


@pytest.mark.parametrize("resolution", [ADOPT, EVICT])
def test_a_decision_is_kept_while_the_losing_machine_still_claims(
    fleet: Fleet, resolution: Resolution
) -> None:
    fleet.resolve(contest(fleet).conflict_id, resolution)
    join(fleet, CHALLENGER)
    fleet.clock.advance(100 * SECOND)
    refused(fleet, HOLDER)
    with fleet.store.begin() as transaction:
        transaction.conflicts.purge(fleet.clock.now() - SECOND)

    assert len(conflicts(fleet, ConflictState.RESOLVED)) == 1


@pytest.mark.parametrize("resolution", [ADOPT, EVICT])
def test_a_resolved_conflict_cannot_be_resolved_again(fleet: Fleet, resolution: Resolution) -> None:
    conflict_id = contest(fleet).conflict_id
    fleet.resolve(conflict_id, resolution)

    with pytest.raises(ConflictAlreadyResolved, match="is already resolved"):
        fleet.resolve(conflict_id, ADOPT)


def test_a_conflict_about_a_deleted_server_has_lapsed(fleet: Fleet) -> None:
    conflict = contest(fleet)
    fleet.delete(conflict.server_id, force=True)

    with pytest.raises(ConflictAlreadyResolved, match="is already lapsed"):
        fleet.resolve(conflict.conflict_id, ADOPT)


@pytest.mark.parametrize("successors", [[], [THIRD]])
def test_a_conflict_about_a_renamed_server_lapses(fleet: Fleet, successors: list[Evidence]) -> None:
    conflict = contest(fleet)
    fleet.update(conflict.server_id, ServerChanges(name="elsewhere"))
    for successor in successors:
        join(fleet, successor)

    with pytest.raises(ConflictAlreadyResolved, match="is already lapsed"):
        fleet.resolve(conflict.conflict_id, ADOPT)
    assert conflicts(fleet, ConflictState.LAPSED)[0].conflict_id == conflict.conflict_id


def test_a_conflict_lapses_when_the_challenger_has_the_server(fleet: Fleet) -> None:
    conflict = contest(fleet)
    fleet.rules = RegistrationRules(NamePolicy.TAKEOVER)
    fleet.restart()
    join(fleet, CHALLENGER)

    with pytest.raises(ConflictAlreadyResolved, match="is already lapsed"):
        fleet.resolve(conflict.conflict_id, ADOPT)


def test_a_suspected_conflict_can_be_resolved(fleet: Fleet) -> None:
    holder = join(fleet, evidence("disk", "", "boot"))
    other = evidence("disk", "", "other boot")
    refused(fleet, other)
    [suspected] = conflicts(fleet, ConflictState.SUSPECTED)
    fleet.resolve(suspected.conflict_id, ADOPT)

    assert join(fleet, other).server_id == holder.server_id


def test_a_decision_is_against_the_present_holder(fleet: Fleet) -> None:
    conflict = contest(fleet)
    join(fleet, HOLDER_REBOOTED)
    resolved = fleet.resolve(conflict.conflict_id, ADOPT)

    assert resolved.holder.evidence == HOLDER_REBOOTED


@pytest.mark.parametrize("conflict_id", [0, -1, 4711, 2**63 - 1])
def test_an_unknown_conflict_is_not_found(fleet: Fleet, conflict_id: int) -> None:
    with pytest.raises(ConflictNotFound):
        fleet.resolve(conflict_id, ADOPT)
