from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.propagate_configuration import PropagateConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.liveness.record_heartbeat import Heartbeat
from application.registration.register_server import Registration
from application.servers.label_server import LabelServer
from application.servers.update_server import ServerChanges
from domain.errors import InvalidField, ServerIsOnline, ServerNotFound
from domain.events import EventKind
from domain.history import HistoryEntry
from domain.labels import MAX_LABELS, Labels, parse_selector
from domain.liveness import Status
from domain.retention import Retention
from tests.support.builders import NOW, SECOND
from tests.support.fleet import OPEN, Fleet


@pytest.fixture
def old(fleet: Fleet) -> int:
    """A server whose host was stopped."""
    server_id = fleet.register(Registration("old", "production")).server.server_id
    fleet.heartbeat([Heartbeat(server_id, leaving=True)])
    return server_id


@pytest.fixture
def new(fleet: Fleet, old: int) -> int:
    """The server that the machine uses now."""
    fleet.clock.advance(60 * SECOND)
    return fleet.register(Registration("new", labels={"region": "nyc"})).server.server_id


def put(fleet: Fleet, server_id: int, name: str, document: str = "{}") -> int:
    return PutConfiguration(fleet.store, fleet.clock)(server_id, name, document).revision


def put_on(fleet: Fleet, selector: str, name: str) -> None:
    propagate = PropagateConfiguration(fleet.store, fleet.clock)
    put_on_selector = PutSelectorConfiguration(fleet.store, fleet.clock, propagate)
    put_on_selector(parse_selector(selector), name, "{}")


def label(fleet: Fleet, server_id: int, **labels: str) -> None:
    LabelServer(fleet.store, fleet.clock)(server_id, labels)


def fetched(fleet: Fleet, server_id: int, known_revision: int = 0) -> dict[str, str]:
    """The documents that a host with this revision is sent."""
    fetch = FetchConfiguration(fleet.store, fleet.clock, authenticate_host=OPEN)
    changes = fetch(server_id, "", known_revision)
    return {changed.name: changed.document for changed in changes.changed}


def history(fleet: Fleet, server_id: int) -> Sequence[HistoryEntry]:
    with fleet.store.begin() as transaction:
        return transaction.history.of(server_id)


def causes(fleet: Fleet, server_id: int, kind: EventKind) -> list[str]:
    return [entry.cause for entry in history(fleet, server_id) if entry.kind is kind]


def published(fleet: Fleet, server_id: int) -> list[EventKind]:
    with fleet.store.begin() as transaction:
        events = transaction.outbox.oldest(1000)
        return [event.kind for event in events if event.server_id == server_id]


def test_the_new_server_keeps_its_id_and_its_name_and_the_old_one_is_deleted(
    fleet: Fleet, old: int, new: int
) -> None:
    before = fleet.get(new)
    merged = fleet.merge(old, new)

    assert merged == fleet.get(new) == before
    with pytest.raises(ServerNotFound):
        fleet.get(old)
    assert fleet.register(Registration("new")).server.server_id == new


def test_the_new_server_gets_the_documents_that_it_lacks(fleet: Fleet, old: int, new: int) -> None:
    put(fleet, old, "games", '{"of": "old"}')
    put(fleet, old, "limits", '{"of": "old"}')
    known = put(fleet, new, "limits", '{"of": "new"}')
    merged = fleet.merge(old, new)

    assert merged.config_revision > known
    assert fetched(fleet, new) == {"games": '{"of": "old"}', "limits": '{"of": "new"}'}
    assert fetched(fleet, new, known) == {"games": '{"of": "old"}'}


def test_a_host_with_a_higher_revision_than_the_old_server_fetches_its_documents(
    fleet: Fleet, old: int, new: int
) -> None:
    put(fleet, old, "games")
    known = [put(fleet, new, f"limits-{number}") for number in range(5)][-1]
    fleet.merge(old, new)

    assert fetched(fleet, new, known) == {"games": "{}"}


def test_the_new_server_gets_the_operators_labels_that_it_lacks(
    fleet: Fleet, old: int, new: int
) -> None:
    label(fleet, old, tier="gold", rack="7", region="lon")
    label(fleet, new, tier="silver")
    merged = fleet.merge(old, new)

    assert merged.labels == Labels(
        of_host={"region": "nyc"}, of_operators={"tier": "silver", "rack": "7", "region": "lon"}
    )
    assert causes(fleet, new, EventKind.LABELLED)[-1] == (
        f"labels came from server {old} (old): rack, region"
    )


def test_the_moved_labels_bring_documents_of_selectors(fleet: Fleet, old: int, new: int) -> None:
    put_on(fleet, "tier=gold", "gold")
    known = put(fleet, new, "limits")
    label(fleet, old, tier="gold")
    merged = fleet.merge(old, new)

    # It was put before the host's revision.
    assert set(fetched(fleet, new, known)) == {"gold", "limits"}
    assert merged.config_revision > known
    assert causes(fleet, new, EventKind.CONFIGURED)[-1] == (
        "its labels changed, so other documents apply to it"
    )


def test_a_merge_with_too_many_labels_is_refused(fleet: Fleet, old: int, new: int) -> None:
    label(fleet, old, **{f"a{number}": "" for number in range(MAX_LABELS)})
    label(fleet, new, b="")
    before = fleet.get(new)

    with pytest.raises(InvalidField, match=f"has {MAX_LABELS + 1} labels"):
        fleet.merge(old, new)

    assert (fleet.get(new), fleet.get(old).server_id) == (before, old)


@pytest.mark.parametrize("default", ["old", "new", "neither"])
def test_the_default_mark_moves_to_the_new_server(
    fleet: Fleet, old: int, new: int, default: str
) -> None:
    other = fleet.create("other", "").server_id
    marked = {"old": old, "new": new, "neither": other}[default]
    fleet.update(marked, ServerChanges(is_default=True))
    merged = fleet.merge(old, new)

    assert merged.is_default == (default != "neither")
    assert fleet.get(other).is_default == (default == "neither")


def test_the_new_server_has_the_history_of_both(fleet: Fleet, old: int, new: int) -> None:
    now = fleet.clock.advance(60 * SECOND)
    fleet.merge(old, new)
    kinds = [entry.kind for entry in history(fleet, new)]

    assert kinds == [
        EventKind.REGISTERED,
        EventKind.ONLINE,
        EventKind.OFFLINE,
        EventKind.REGISTERED,
        EventKind.ONLINE,
        EventKind.MERGED,
    ]
    assert history(fleet, new)[-1] == HistoryEntry(
        now, EventKind.MERGED, f"an operator merged server {old} (old) into it"
    )
    assert history(fleet, old) == [
        HistoryEntry(now, EventKind.DELETED, f"an operator merged it into server {new} (new)")
    ]


def test_the_events_of_each_server_are_in_order(fleet: Fleet, old: int, new: int) -> None:
    put(fleet, old, "games")
    label(fleet, old, tier="gold")
    fleet.merge(old, new)

    assert published(fleet, old)[-1] is EventKind.DELETED
    assert published(fleet, new)[-3:] == [
        EventKind.MERGED,
        EventKind.LABELLED,
        EventKind.CONFIGURED,
    ]
    assert causes(fleet, new, EventKind.CONFIGURED)[-1] == (
        f"documents came from server {old} (old): games"
    )


def test_a_cause_lists_only_a_few_documents(fleet: Fleet, old: int, new: int) -> None:
    for number in range(7):
        put(fleet, old, f"doc-{number}")
    fleet.merge(old, new)

    assert causes(fleet, new, EventKind.CONFIGURED)[-1].endswith(
        "doc-0, doc-1, doc-2, doc-3, doc-4 and 2 more"
    )


def test_a_merge_that_moves_nothing_gives_the_host_nothing_to_fetch(
    fleet: Fleet, old: int, new: int
) -> None:
    put(fleet, old, "limits")
    known = put(fleet, new, "limits")
    merged = fleet.merge(old, new)

    assert merged.config_revision == known
    assert published(fleet, new)[-1] is EventKind.MERGED


def test_the_old_server_can_be_restored_with_what_it_had(fleet: Fleet, old: int, new: int) -> None:
    put(fleet, old, "games")
    label(fleet, old, tier="gold")
    fleet.merge(old, new)
    restored = fleet.restore(old)

    assert (restored.name, restored.labels.of_operators) == ("old", {"tier": "gold"})
    assert fetched(fleet, old) == {"games": "{}"}


def test_without_retention_the_old_server_is_deleted_for_good(
    fleet: Fleet, old: int, new: int
) -> None:
    put(fleet, old, "games")
    replace(fleet.merge, retention=Retention(deleted=timedelta(0)))(old, new)

    assert fleet.list_deleted(size=10).servers == []
    assert fetched(fleet, new) == {"games": "{}"}
    assert EventKind.OFFLINE in [entry.kind for entry in history(fleet, new)]


def test_an_old_server_that_is_online_is_not_merged(fleet: Fleet, old: int, new: int) -> None:
    fleet.register(Registration("old"))
    before = fleet.list(size=10).servers

    with pytest.raises(ServerIsOnline, match=f"server {old} is online: stop its host first"):
        fleet.merge(old, new)

    assert fleet.list(size=10).servers == before


def test_a_new_server_may_be_offline(fleet: Fleet, old: int, new: int) -> None:
    put(fleet, old, "games")
    fleet.heartbeat([Heartbeat(new, leaving=True)])

    assert fleet.merge(old, new).presence.status is Status.OFFLINE
    assert fetched(fleet, new) == {"games": "{}"}


def test_a_server_is_not_merged_with_itself(fleet: Fleet, old: int) -> None:
    with pytest.raises(InvalidField) as refused:
        fleet.merge(old, old)

    assert refused.value.field == "new_server_id"
    assert fleet.get(old).server_id == old


@pytest.mark.parametrize("missing", [-1, 0, 4711])
def test_an_unknown_server_is_not_merged(fleet: Fleet, old: int, missing: int) -> None:
    for pair in ((old, missing), (missing, old)):
        with pytest.raises(ServerNotFound, match=f"server {missing} does not exist"):
            fleet.merge(*pair)

    assert fleet.get(old).server_id == old


def test_the_new_server_that_was_merged_can_be_explained(fleet: Fleet, old: int, new: int) -> None:
    fleet.clock.advance(SECOND)
    fleet.merge(old, new)
    sentences = " ".join(fleet.explain(new).sentences)
    of_the_old = fleet.explain(old).sentences

    assert f"It has been online since {NOW + 60 * SECOND:%Y-%m-%d %H:%M:%S} UTC" in sentences
    assert f"an operator merged server {old} (old) into it." in sentences
    assert of_the_old[0].endswith(f": an operator merged it into server {new} (new).")
