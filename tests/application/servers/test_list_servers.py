from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.memory.store import MemoryStore
from application.liveness.record_heartbeat import Heartbeat
from application.registration.register_server import Registration
from domain.errors import InvalidField
from domain.liveness import Status
from domain.server import Server
from tests.support.builders import NOW, SECOND
from tests.support.fleet import Fleet


def walk(fleet: Fleet, size: int, **filters: Any) -> Iterator[list[Server]]:
    """Every page to the last."""
    after: int | None = 0
    while after is not None:
        page = fleet.list(size=size, after=after, **filters)
        yield list(page.servers)
        after = page.next_after


def names(fleet: Fleet, **filters: Any) -> list[str]:
    return [server.name for server in fleet.list(size=100, **filters).servers]


@settings(deadline=None)
@given(count=st.integers(0, 12), size=st.integers(1, 15))
def test_pages_contain_each_server_once_and_in_order(count: int, size: int) -> None:
    fleet = Fleet(MemoryStore())
    ids = [fleet.create(f"web-{n}", "").server_id for n in range(count)]
    pages = list(walk(fleet, size))

    assert [server.server_id for page in pages for server in page] == ids
    assert all(len(page) == size for page in pages[:-1])
    # Only the single page of an empty fleet is empty.
    assert all(pages) or count == 0


def test_servers_that_come_and_go_between_pages_do_not_move_others(fleet: Fleet) -> None:
    ids = [fleet.create(f"web-{n}", "").server_id for n in range(6)]
    pages = walk(fleet, 2)
    seen = next(pages)
    fleet.delete(ids[0])
    fleet.delete(ids[3])
    new = fleet.create("web-9", "").server_id
    for page in pages:
        seen += page

    assert [server.server_id for server in seen] == [*ids[:3], *ids[4:], new]


def test_filters_are_combined(fleet: Fleet) -> None:
    fleet.create("never", "production")
    for name, environment in (("old", "production"), ("test", "test"), ("gone", "production")):
        fleet.register(Registration(name, environment))
    gone = fleet.list(size=10).servers[-1]
    fleet.heartbeat([Heartbeat(gone.server_id, leaving=True)])
    fleet.clock.advance(60 * SECOND)
    fleet.register(Registration("new", "production"))

    assert names(fleet) == ["never", "old", "test", "gone", "new"]
    assert names(fleet, environment="production") == ["never", "old", "gone", "new"]
    assert names(fleet, environment="Production") == []
    assert names(fleet, status=Status.ONLINE) == ["old", "test", "new"]
    assert names(fleet, status=Status.OFFLINE) == ["never", "gone"]
    assert names(fleet, not_seen_for=59 * SECOND) == ["never", "old", "test", "gone"]
    assert names(fleet, not_seen_for=60 * SECOND) == ["never"]
    assert names(fleet, environment="production", status=Status.ONLINE, not_seen_for=SECOND) == [
        "old"
    ]


def test_a_server_that_was_never_seen_matches_any_not_seen_for(fleet: Fleet) -> None:
    fleet.create("web", "")

    assert names(fleet, not_seen_for=timedelta(days=365_000)) == ["web"]
    assert fleet.clock.now() == NOW


@pytest.mark.parametrize("environment", ["x" * 101, "\x00", " x"])
def test_an_invalid_environment_is_refused(fleet: Fleet, environment: str) -> None:
    with pytest.raises(InvalidField) as refused:
        fleet.list(size=1, environment=environment)

    assert refused.value.field == "environment"
