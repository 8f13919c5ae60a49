"""The spans of batches, sweeps and events. tests/e2e/test_traces.py follows a trace through
processes."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from application.context.trace_context import calling_trace_parents, current_trace_parent
from application.ports.broker import BrokerUnavailable
from application.ports.store.outbox import RecordedEvent
from application.ports.store.store import StoreUnavailable
from domain.events import EventKind
from domain.liveness import Status
from tests.support.builders import NOW
from tests.support.traced import SAMPLED, UNSAMPLED, Traced, failed, identity, links, parent


def echo(batch: Sequence[int]) -> Sequence[int]:
    return batch


def in_own_context(call: Callable[[], None]) -> None:
    """Context variables that the call sets end with its thread."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


@pytest.mark.parametrize("transport", ["gRPC", "AMQP"])
def test_a_batch_is_linked_to_those_of_its_callers_that_are_recorded(
    traced: Traced, transport: str
) -> None:
    other = SAMPLED.replace("b7ad", "d7ad")
    wrapped = (
        traced.traces.heartbeats(echo)
        if transport == "gRPC"
        else traced.traces.messages("manman.reports", echo)
    )

    def write() -> None:
        calling_trace_parents.set([SAMPLED, UNSAMPLED, other])
        assert wrapped([1, 2, 3]) == [1, 2, 3]
        calling_trace_parents.set([UNSAMPLED])
        wrapped([4])
        calling_trace_parents.set([other])
        wrapped([5])

    in_own_context(write)
    together, alone = traced.spans

    assert (parent(together), links(together)) == ("", [SAMPLED[36:52], other[36:52]])
    assert (parent(alone), links(alone)) == (other[36:52], [other[36:52]])


def test_a_check_of_the_store_by_a_consumer_is_not_traced(traced: Traced) -> None:
    traced.traces.messages("manman.reports", echo)([])

    assert traced.names == []


@pytest.mark.parametrize("expired", [(), (7, 8)])
def test_a_sweep_is_traced_only_if_it_expires_servers(
    traced: Traced, expired: tuple[int, ...]
) -> None:
    meanwhile: list[str] = []

    def expire() -> tuple[int, ...]:
        meanwhile.append(current_trace_parent.get())
        return expired

    result = traced.traces.sweep(expire)()

    assert result == expired
    assert current_trace_parent.get() == ""
    assert traced.names == (["expire servers"] if expired else [])
    if expired:
        # Its events belong to this trace.
        assert tuple(meanwhile[0].split("-")[1:3]) == identity(traced.only("expire servers"))


def test_a_failed_sweep_is_not_traced(traced: Traced) -> None:
    def expire() -> tuple[int, ...]:
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        traced.traces.sweep(expire)()

    assert traced.names == []
    assert current_trace_parent.get() == ""


@dataclass
class Outside:
    """Accepts events, or is unavailable."""

    is_unavailable: bool = False
    accepted: list[RecordedEvent] = field(default_factory=list)

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        if self.is_unavailable:
            raise BrokerUnavailable("The broker is away")
        self.accepted += events


def event(number: int, trace_parent: str) -> RecordedEvent:
    return RecordedEvent(
        *(number, f"m-{number}", EventKind.ONLINE, number, NOW, "box", "", Status.ONLINE, 0),
        trace_parent=trace_parent,
    )


def test_events_are_published_in_the_trace_that_caused_them(traced: Traced) -> None:
    outside = Outside()
    events = [event(1, SAMPLED), event(2, ""), event(3, UNSAMPLED)]
    traced.traces.events(outside).publish(events)
    caused, uncaused = [span for span in traced.spans if span.name == "send external"]
    relay = traced.only("relay events")

    assert [each.message_id for each in outside.accepted] == ["m-1", "m-2", "m-3"]
    sent = [each.trace_parent for each in outside.accepted]
    assert (identity(caused)[0], parent(caused)) == (SAMPLED[3:35], SAMPLED[36:52])
    assert sent[0] == f"00-{'-'.join(identity(caused))}-01"
    assert parent(uncaused) == ""
    assert "-".join(identity(uncaused)) in sent[1]
    assert sent[2].startswith(UNSAMPLED[:36])
    assert sent[2].endswith("-00")
    assert links(relay) == [SAMPLED[36:52]]


def test_a_failed_attempt_to_publish_is_one_span(traced: Traced) -> None:
    outside = Outside(is_unavailable=True)
    with pytest.raises(BrokerUnavailable):
        traced.traces.events(outside).publish([event(1, SAMPLED), event(2, SAMPLED)])

    assert traced.names == ["relay events"]
    assert failed(traced.only("relay events"))
