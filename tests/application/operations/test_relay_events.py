from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from adapters.memory.events import MemoryEvents
from application.configuration.put_configuration import PutConfiguration
from application.operations.relay_events import RelayEvents
from application.ports.broker import BrokerUnavailable
from application.ports.store.outbox import RecordedEvent
from application.registration.register_server import Registration
from tests.support.fleet import Fleet


@dataclass
class TroubledEvents(MemoryEvents):
    """A broker that fails after it has taken some of the events."""

    takes: int | None = None
    taken: list[RecordedEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        if self.takes is not None:
            self.published.extend(events[: self.takes])
            raise BrokerUnavailable("it is away")
        super().publish(events)


@pytest.fixture
def events() -> TroubledEvents:
    return TroubledEvents()


@pytest.fixture
def relay(fleet: Fleet, events: TroubledEvents) -> RelayEvents:
    return RelayEvents(fleet.store, events, fleet.clock, "one")


def kinds(events: TroubledEvents) -> list[str]:
    return [event.kind.value for event in events.published]


def test_events_are_published_once_and_in_order(
    fleet: Fleet, relay: RelayEvents, events: TroubledEvents
) -> None:
    web = fleet.register(Registration("web")).server.server_id
    PutConfiguration(fleet.store, fleet.clock)(web, "valheim", "{}")
    fleet.delete(web, force=True)
    relay()
    relay()

    assert kinds(events) == ["registered", "online", "configured", "deleted"]


def test_an_event_that_could_not_be_published_is_published_later_with_the_same_message_id(
    fleet: Fleet, relay: RelayEvents, events: TroubledEvents
) -> None:
    fleet.register(Registration("web"))
    events.takes = 1
    with pytest.raises(BrokerUnavailable):
        relay()
    events.takes = None
    relay()

    assert kinds(events) == ["registered", "registered", "online"]
    assert events.published[0] == events.published[1]


def test_a_relay_that_failed_releases_the_lease(
    fleet: Fleet, relay: RelayEvents, events: TroubledEvents
) -> None:
    fleet.register(Registration("web"))
    events.takes = 0
    with pytest.raises(BrokerUnavailable):
        relay()
    events.takes = None
    RelayEvents(fleet.store, events, fleet.clock, "other")()

    assert kinds(events) == ["registered", "online"]


def test_a_relay_that_died_blocks_others_until_its_lease_ends(
    fleet: Fleet, relay: RelayEvents, events: TroubledEvents
) -> None:
    fleet.register(Registration("web"))
    with fleet.store.begin() as transaction:
        now = fleet.clock.now()
        assert transaction.outbox.lease("dead", now, now + relay.lease)

    assert not relay()
    assert kinds(events) == []
    fleet.clock.advance(relay.lease)
    relay()
    assert kinds(events) == ["registered", "online"]


def test_a_large_backlog_is_published_in_batches(
    fleet: Fleet, relay: RelayEvents, events: TroubledEvents
) -> None:
    for number in range(120):
        fleet.register(Registration(f"web-{number}"))
    rounds = 1
    while relay():
        rounds += 1

    assert rounds == 3
    assert len({event.message_id for event in events.published}) == 240


def test_a_relay_without_events_takes_no_lease(fleet: Fleet, relay: RelayEvents) -> None:
    assert not relay()
    with fleet.store.begin() as transaction:
        now = fleet.clock.now()
        assert transaction.outbox.lease("other", now, now + timedelta(seconds=1))


def test_events_that_are_held_back_wait_for_a_process_with_a_broker(
    fleet: Fleet, relay: RelayEvents, events: TroubledEvents
) -> None:
    fleet.register(Registration("web"))
    nowhere = MemoryEvents()
    without_broker = RelayEvents(
        fleet.store, nowhere, fleet.clock, "without", hold_back=timedelta(hours=1)
    )
    without_broker()
    fleet.clock.advance(timedelta(minutes=59))
    without_broker()

    assert not nowhere.published
    relay()
    assert kinds(events) == ["registered", "online"]


def test_events_that_no_process_publishes_are_removed_in_the_end(fleet: Fleet) -> None:
    fleet.register(Registration("web"))
    nowhere = MemoryEvents()
    without_broker = RelayEvents(
        fleet.store, nowhere, fleet.clock, "without", hold_back=timedelta(hours=1)
    )
    fleet.clock.advance(timedelta(hours=1))
    without_broker()

    assert len(nowhere.published) == 2
    with fleet.store.begin() as transaction:
        assert transaction.outbox.oldest(10) == []


def test_a_clock_that_is_behind_does_not_delay_events(
    fleet: Fleet, relay: RelayEvents, events: TroubledEvents
) -> None:
    fleet.register(Registration("web"))
    fleet.clock.advance(timedelta(hours=-1))
    relay()

    assert kinds(events) == ["registered", "online"]
