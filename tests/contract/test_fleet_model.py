"""A fleet after random events, compared with a small model of the rules."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

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
from application.servers.update_server import ServerChanges
from domain.errors import (
    DeletedServerNotFound,
    ServerIsOnline,
    ServerNameTaken,
    ServerNotFound,
)
from domain.liveness import Status
from domain.server import Server
from tests.support.builders import SECOND
from tests.support.fleet import Fleet

# With one heartbeat per second, a fleet of more than four servers gets a longer interval.
INTERVAL = 4 * SECOND
RATE = 1
UNKNOWN = 2**40

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f", "g"])
ENVIRONMENTS = st.sampled_from(["", "production", "test"])
ANY_SERVER = st.integers(0, 9)


@dataclass
class Record:
    """The expectations of the model for a server."""

    name: str
    environment: str = ""
    online: bool = False
    last_seen: datetime | None = None
    offline_after: datetime | None = None
    is_default: bool = False


class FleetMachine(RuleBasedStateMachine):
    store: Store

    def __init__(self) -> None:
        super().__init__()
        # The expected events of each server, in order.
        self.expected_events: dict[int, list[str]] = {}
        self.fleet = Fleet(self.store, INTERVAL, RATE)
        self.records: dict[int, Record] = {}
        self.deleted: dict[int, Record] = {}
        self.restart()

    @property
    def now(self) -> datetime:
        return self.fleet.clock.now()

    @property
    def current_interval(self) -> timedelta:
        return max(INTERVAL, ceil(self.counted / RATE) * SECOND)

    def some_id(self, number: int) -> int:
        """The id of an existing, a deleted or an unknown server."""
        ids = [*self.records, *self.deleted, UNKNOWN]
        return ids[number % len(ids)]

    def named(self, name: str) -> int | None:
        return next((n for n, record in self.records.items() if record.name == name), None)

    @initialize()
    def listen_long_enough(self) -> None:
        self.silence(seconds=15)

    @rule(name=NAMES, environment=ENVIRONMENTS)
    def register(self, name: str, environment: str) -> None:
        registered = self.fleet.register(Registration(name, environment))
        server_id = registered.server.server_id
        expected_id = self.named(name)
        if expected_id is None:
            assert server_id > max([*self.records, *self.deleted], default=0)
            self.records[server_id] = Record(name)
            self.tells(server_id, "registered")
        else:
            assert server_id == expected_id
        record = self.records[server_id]
        record.environment = environment or record.environment
        self.spoke(server_id)
        assert registered.next_heartbeat == self.current_interval

    @rule(batch=st.lists(st.tuples(ANY_SERVER, st.sampled_from([False, False, True]))))
    def heartbeats(self, batch: list[tuple[int, bool]]) -> None:
        heartbeats = [Heartbeat(self.some_id(number), leaving=leaving) for number, leaving in batch]
        answers = self.fleet.heartbeat(heartbeats)
        for heartbeat, answer in zip(heartbeats, answers, strict=True):
            if heartbeat.server_id in self.records:
                assert answer == Acknowledged(0, self.current_interval)
            else:
                assert isinstance(answer, ServerNotFound)
        # If a batch has several heartbeats of one server, the last one counts.
        for server_id, leaving in {beat.server_id: beat.leaving for beat in heartbeats}.items():
            record = self.records.get(server_id)
            if record and leaving:
                self.set_online(server_id, False, "offline")
                record.last_seen, record.offline_after = self.now, None
            elif record:
                self.spoke(server_id)

    @rule(number=ANY_SERVER, force=st.booleans())
    def delete(self, number: int, force: bool) -> None:
        server_id = self.some_id(number)
        if server_id not in self.records:
            with pytest.raises(ServerNotFound):
                self.fleet.delete(server_id, force=force)
        elif self.records[server_id].online and not force:
            with pytest.raises(ServerIsOnline):
                self.fleet.delete(server_id)
        else:
            self.fleet.delete(server_id, force=force)
            self.tells(server_id, "deleted")
            self.deleted[server_id] = self.records.pop(server_id)

    @rule(number=ANY_SERVER, name=st.just("") | NAMES)
    def restore(self, number: int, name: str) -> None:
        server_id = self.some_id(number)
        record = self.deleted.get(server_id)
        if record is None:
            with pytest.raises(DeletedServerNotFound):
                self.fleet.restore(server_id, name)
        elif self.named(name or record.name) is not None:
            with pytest.raises(ServerNameTaken):
                self.fleet.restore(server_id, name)
        else:
            self.fleet.restore(server_id, name)
            self.tells(server_id, "restored")
            self.records[server_id] = self.deleted.pop(server_id)
            record.name = name or record.name
            record.online, record.is_default, record.offline_after = False, False, None

    @precondition(lambda self: self.records)
    @rule(
        number=ANY_SERVER,
        name=st.none() | NAMES,
        online=st.none() | st.booleans(),
        is_default=st.none() | st.booleans(),
    )
    def update(
        self, number: int, name: str | None, online: bool | None, is_default: bool | None
    ) -> None:
        server_id = list(self.records)[number % len(self.records)]
        record = self.records[server_id]
        status = None if online is None else Status.ONLINE if online else Status.OFFLINE
        changes = ServerChanges(name, status, is_default)
        if name is not None and self.named(name) not in (None, server_id):
            with pytest.raises(ServerNameTaken):
                self.fleet.update(server_id, changes)
            return
        self.fleet.update(server_id, changes)
        if name not in (None, record.name):
            self.tells(server_id, "renamed")
        record.name = name or record.name
        if online is not None:
            self.set_online(server_id, online, "offline")
            record.offline_after = self.now + 3 * self.current_interval if online else None
        if is_default is not None:
            for other in self.records.values():
                other.is_default = other.is_default and not is_default
            record.is_default = is_default

    @rule(seconds=st.integers(1, 30))
    def silence(self, seconds: int) -> None:
        for _ in range(0, seconds, 3):
            self.fleet.clock.advance(3 * SECOND)
            self.look()

    @rule(seconds=st.integers(-40, 40))
    def clock_jumps(self, seconds: int) -> None:
        self.fleet.clock.advance(seconds * SECOND)
        self.look()

    @rule()
    def restart(self) -> None:
        self.fleet.restart()
        self.listening_since = self.last_look = datetime.min.replace(tzinfo=self.now.tzinfo)
        self.counted = 0

    def look(self) -> None:
        if not timedelta(0) <= self.now - self.last_look <= INTERVAL:
            self.listening_since = self.now
        self.last_look = self.now
        silent = [
            server_id
            for server_id, record in self.records.items()
            if record.offline_after and record.offline_after < self.now
        ]
        if self.now - self.listening_since < 3 * self.current_interval:
            silent = []
        for server_id in silent:
            self.set_online(server_id, False, "stale")
            self.records[server_id].offline_after = None
        self.counted = sum(record.online for record in self.records.values())

        assert sorted(self.fleet.expire()) == sorted(silent)

    def tells(self, server_id: int, kind: str) -> None:
        self.expected_events.setdefault(server_id, []).append(kind)

    def set_online(self, server_id: int, online: bool, otherwise: str) -> None:
        if self.records[server_id].online is not online:
            self.tells(server_id, "online" if online else otherwise)
        self.records[server_id].online = online

    def spoke(self, server_id: int) -> None:
        self.set_online(server_id, True, "")
        record = self.records[server_id]
        record.last_seen = self.now
        record.offline_after = self.now + 3 * self.current_interval

    @invariant()
    def the_fleet_matches_the_model(self) -> None:
        assert [_facts(server) for server in self.fleet.list(size=100).servers] == [
            (
                server_id,
                record.name,
                record.environment,
                Status.ONLINE if record.online else Status.OFFLINE,
                record.last_seen,
                record.is_default,
            )
            for server_id, record in sorted(self.records.items())
        ]

    @invariant()
    def every_change_is_published_in_order(self) -> None:
        published: dict[int, list[str]] = {}
        with self.store.begin() as transaction:
            for event in transaction.outbox.oldest(10_000):
                published.setdefault(event.server_id, []).append(event.kind.value)

        assert published == self.expected_events

    @invariant()
    def every_change_is_in_the_history_with_its_cause(self) -> None:
        with self.store.begin() as transaction:
            histories = {
                server_id: transaction.history.of(server_id) for server_id in self.expected_events
            }

        assert {
            server_id: [entry.kind.value for entry in entries]
            for server_id, entries in histories.items()
        } == self.expected_events
        assert all(entry.cause for entries in histories.values() for entry in entries)

    def teardown(self) -> None:
        for server_id in self.records:
            self.fleet.delete(server_id, force=True)
        with self.store.begin() as transaction:
            events = transaction.outbox.oldest(10_000)
            transaction.outbox.remove([event.entry_id for event in events])


def _facts(server: Server) -> tuple[object, ...]:
    return (
        server.server_id,
        server.name,
        server.environment,
        server.presence.status,
        server.presence.last_seen,
        server.is_default,
    )


@pytest.mark.parametrize(
    ("open_store", "lives"), [("memory", 100), ("postgresql", 15)], indirect=["open_store"]
)
def test_a_fleet_follows_the_model(open_store: Callable[[], Store], lives: int) -> None:
    class OnThisStore(FleetMachine):
        store = open_store()

    run_state_machine_as_test(
        OnThisStore,
        settings=settings(max_examples=lives, stateful_step_count=30, deadline=None),
    )
