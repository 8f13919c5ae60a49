"""Random claims of machines to names, compared with a small model of the rules of identity."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.ports.store.store import Store
from application.registration.register_server import Registration
from domain.approval import Approval
from domain.errors import NameInUse, NotAdmitted, ServerNotFound, SupersededRegistration
from domain.liveness import Status
from domain.machine_evidence import NO_EVIDENCE, Evidence
from tests.support.builders import INTERVAL, evidence
from tests.support.fleet import Fleet

NAMES = st.sampled_from(["a", "b", "c"])
MACHINES = st.integers(0, 3)
ANY_SERVER = st.integers(0, 9)


@dataclass
class Record:
    """The expectations of the model for a server. `holder` is its machine, if it is known."""

    name: str
    holder: int | None = None
    epoch: int = 0
    online: bool = False
    approval: Approval = Approval.APPROVED


class Claims(RuleBasedStateMachine):
    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet(self.store)
        self.records: dict[int, Record] = {}
        self.last_id = 0
        self.starts = 0
        self.boots = [0] * 4
        # The banned machines, by the server that was banned.
        self.bans: dict[int, int] = {}

    @initialize()
    def listen_long_enough(self) -> None:
        self.pass_a_deadline()

    def pass_a_deadline(self) -> None:
        for _ in range(4):
            self.fleet.clock.advance(INTERVAL)
            self.fleet.expire()

    def evidence_of(self, machine: int) -> Evidence:
        self.starts += 1
        boot = f"{machine} {self.boots[machine]}"
        return evidence(f"disk {machine}", f"board {machine}", boot, f"process {self.starts}")

    def named(self, name: str) -> int | None:
        return next((n for n, record in self.records.items() if record.name == name), None)

    def some_id(self, number: int) -> int:
        return list(self.records)[number % len(self.records)]

    @rule(name=NAMES, machine=st.none() | MACHINES)
    def register(self, name: str, machine: int | None) -> None:
        who = NO_EVIDENCE if machine is None else self.evidence_of(machine)
        registration = Registration(name, evidence=who)
        server_id = self.named(name)
        record = self.records[server_id] if server_id else Record(name)
        if machine in self.bans.values() or not record.approval.admits:
            with pytest.raises(NotAdmitted):
                self.fleet.register(registration)
            return
        is_other = machine is not None and record.holder not in (None, machine)
        if is_other and record.online:
            with pytest.raises(NameInUse):
                self.fleet.register(registration)
            return
        server = self.fleet.register(registration).server
        if server_id is None:
            assert server.server_id > self.last_id
            self.last_id = server.server_id
            self.records[server.server_id] = record
        else:
            assert server.server_id == server_id
        record.holder = record.holder if machine is None else machine
        record.epoch += 1
        record.online = True

    @rule(machine=MACHINES)
    def reboot(self, machine: int) -> None:
        self.boots[machine] += 1

    @precondition(lambda self: self.records)
    @rule(number=ANY_SERVER, behind=st.integers(-1, 2), leaving=st.booleans(), says=st.booleans())
    def heartbeat(self, number: int, behind: int, leaving: bool, says: bool) -> None:
        server_id = self.some_id(number)
        record = self.records[server_id]
        epoch = max(0, record.epoch - behind) if says else 0
        [answer] = self.fleet.heartbeat([Heartbeat(server_id, leaving=leaving, epoch=epoch)])
        if not record.approval.admits:
            # Without a credential.
            assert isinstance(answer, ServerNotFound)
        elif 0 < epoch < record.epoch:
            assert isinstance(answer, SupersededRegistration)
        else:
            assert isinstance(answer, Acknowledged)
            record.online = not leaving

    @rule()
    def all_fall_silent(self) -> None:
        self.pass_a_deadline()
        for record in self.records.values():
            record.online = False

    @precondition(lambda self: self.records)
    @rule(number=ANY_SERVER)
    def ban(self, number: int) -> None:
        server_id = self.some_id(number)
        record = self.records[server_id]
        self.fleet.ban(server_id, "")
        banned = [record]
        if record.holder is not None:
            self.bans[server_id] = record.holder
            banned += [one for one in self.records.values() if one.holder == record.holder]
        for one in banned:
            one.approval, one.online = Approval.BANNED, False

    @precondition(lambda self: self.records)
    @rule(number=ANY_SERVER)
    def delete(self, number: int) -> None:
        server_id = self.some_id(number)
        self.fleet.delete(server_id, force=True)
        del self.records[server_id]
        [answer] = self.fleet.heartbeat([Heartbeat(server_id)])

        assert isinstance(answer, ServerNotFound)

    @invariant()
    def the_fleet_matches_the_model(self) -> None:
        servers = {server.server_id: server for server in self.fleet.list(size=100).servers}

        assert servers.keys() == self.records.keys()
        for server_id, record in self.records.items():
            server = servers[server_id]
            online = server.presence.status is Status.ONLINE
            assert (
                replace(record, epoch=server.epoch, online=online, approval=server.approval)
                == record
            ), server

    @invariant()
    def servers_have_one_number_where_they_are_on_one_machine(self) -> None:
        numbers: dict[int | None, set[int]] = {}
        for server in self.fleet.list(size=100).servers:
            holder = self.records[server.server_id].holder
            numbers.setdefault(holder, set()).add(server.machine)

        assert numbers.pop(None, {0}) == {0}
        assert all(len(of_one) == 1 for of_one in numbers.values())
        assert len(set.union({0}, *numbers.values())) == len(numbers) + 1

    def teardown(self) -> None:
        for server_id in self.records:
            self.fleet.delete(server_id, force=True)
        with self.store.begin() as transaction:
            for server_id in self.bans:
                transaction.bans.remove(server_id)
            transaction.conflicts.lapse(self.fleet.clock.now() + INTERVAL)


@pytest.mark.parametrize(
    ("open_store", "lives"), [("memory", 100), ("postgresql", 12)], indirect=["open_store"]
)
def test_claims_of_machines_follow_the_model(open_store: Callable[[], Store], lives: int) -> None:
    class OnThisStore(Claims):
        store = open_store()

    run_state_machine_as_test(
        OnThisStore,
        settings=settings(max_examples=lives, stateful_step_count=30, deadline=None),
    )
