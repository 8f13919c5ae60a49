from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

import grpc

from adapters.grpc.client.operator_client import OperatorCallFailed, OperatorClient
from domain.approval import Approval
from domain.labels import Labels, parse_selector
from domain.liveness import offline_presence, online_presence
from domain.server import Server
from entrypoints.cli.fleet_filter import FleetFilter
from entrypoints.cli.servers.changes import Change, Kind, WatchFilter
from tests.support.builders import INTERVAL, NOW


class Fleet(OperatorClient):
    """A fleet without an API; it counts calls."""

    def __init__(self, servers: Iterable[Server]) -> None:
        self.there = {server.server_id: server for server in servers}
        self.listings = 0
        self.asked_for: list[int] = []

    def servers(
        self,
        environment: str = "",
        status: str = "",
        not_seen_for: timedelta = timedelta(0),
        *,
        approval: str = "",
        selector: str = "",
    ) -> Iterator[Server]:
        self.listings += 1
        for server in self.there.values():
            if (
                environment in ("", server.environment)
                and status in ("", server.presence.status)
                and approval in ("", server.approval)
                and (not selector or parse_selector(selector).matches(server.labels.effective))
            ):
                yield server

    def server(self, server_id: int) -> Server:
        self.asked_for.append(server_id)
        if server_id not in self.there:
            raise OperatorCallFailed("It does not exist.", grpc.StatusCode.NOT_FOUND)
        return self.there[server_id]


def test_when_many_go_offline_at_once_they_are_not_requested_one_by_one() -> None:
    online = [
        Server(number, f"box-{number}", "dev", online_presence(NOW, INTERVAL))
        for number in range(300)
    ]
    fleet, wanted = Fleet(online), WatchFilter((), FleetFilter("dev", "online"))
    before = wanted.take_snapshot(fleet, None).listed
    fleet.there = {
        server.server_id: replace(server, presence=offline_presence(NOW)) for server in online[:-1]
    }
    fleet.listings = 0
    changes = list(wanted.take_snapshot(fleet, before).changes_since(before, NOW))

    assert {change.kind for change in changes[:-1]} == {Kind.UNLISTED}
    assert changes[-1].kind is Kind.DELETED
    assert len(changes) == len(online)
    assert (fleet.listings, fleet.asked_for) == (2, [online[-1].server_id])


def changes(fleet: Fleet, wanted: WatchFilter, after: Iterable[Server]) -> list[Change]:
    """The changes when the fleet becomes another one."""
    before = wanted.take_snapshot(fleet, None).listed
    fleet.there = {server.server_id: server for server in after}
    return list(wanted.take_snapshot(fleet, before).changes_since(before, NOW))


def test_a_decision_of_an_operator_changes_the_status() -> None:
    pending = Server(1, "box", presence=online_presence(NOW, INTERVAL), approval=Approval.PENDING)
    approved = replace(pending, approval=Approval.APPROVED)
    rejected = replace(pending, approval=Approval.REJECTED, presence=offline_presence(NOW))

    for before, after, statuses in (
        (pending, approved, ("pending", "online")),
        (approved, rejected, ("online", "rejected")),
    ):
        [change] = changes(Fleet([before]), WatchFilter(), [after])
        assert change.kind is Kind.STATUS
        assert (change.old_status, change.new_status) == statuses
    # A pending server is shown as pending, whether it is online or offline.
    assert (
        changes(Fleet([pending]), WatchFilter(), [replace(pending, presence=offline_presence(NOW))])
        == []
    )


def test_servers_are_filtered_by_the_status_that_is_shown() -> None:
    pending = Server(1, "box", presence=online_presence(NOW, INTERVAL), approval=Approval.PENDING)
    online = Server(2, "web", presence=online_presence(NOW, INTERVAL))
    fleet = Fleet([pending, online])

    assert list(FleetFilter(status="online").servers(fleet)) == [online]
    assert list(FleetFilter(status="pending").servers(fleet)) == [pending]
    assert list(FleetFilter().servers(fleet)) == [pending, online]


def test_a_server_that_loses_its_label_is_unlisted_and_not_deleted() -> None:
    gold = Server(1, "box", labels=Labels({"tier": "gold"}))
    fleet, wanted = Fleet([gold]), WatchFilter((), FleetFilter(selector="tier=gold"))

    [change] = changes(fleet, wanted, [replace(gold, labels=Labels())])

    assert change.kind is Kind.UNLISTED
    # It was found in the list of all servers.
    assert fleet.asked_for == []
