from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

import grpc

from adapters.grpc.operator_client import OperatorCallFailed, OperatorClient
from domain.liveness import heard, left
from domain.server import Server
from entrypoints.cli.changes import Kind, Wanted
from tests.builders import INTERVAL, NOW


class Fleet(OperatorClient):
    """An API's fleet, without the API; counts what it is asked."""

    def __init__(self, servers: Iterable[Server]) -> None:
        self.there = {server.server_id: server for server in servers}
        self.listings = 0
        self.asked_for: list[int] = []

    def servers(
        self,
        environment: str = "",
        status: str = "",
        not_seen_for: timedelta = timedelta(0),
    ) -> Iterator[Server]:
        self.listings += 1
        for server in self.there.values():
            if environment in ("", server.environment) and status in ("", server.presence.status):
                yield server

    def server(self, server_id: int) -> Server:
        self.asked_for.append(server_id)
        if server_id not in self.there:
            raise OperatorCallFailed("It does not exist.", grpc.StatusCode.NOT_FOUND)
        return self.there[server_id]


def test_however_many_go_offline_at_once_none_is_asked_for_by_itself() -> None:
    online = [Server(number, f"box-{number}", "dev", heard(NOW, INTERVAL)) for number in range(300)]
    fleet, wanted = Fleet(online), Wanted(environment="dev", status="online")
    before = wanted.look(fleet, None).listed
    fleet.there = {server.server_id: replace(server, presence=left(NOW)) for server in online[:-1]}
    fleet.listings = 0
    changes = list(wanted.look(fleet, before).changes_since(before, NOW))

    assert {change.kind for change in changes[:-1]} == {Kind.UNLISTED}
    assert changes[-1].kind is Kind.DELETED
    assert len(changes) == len(online)
    assert (fleet.listings, fleet.asked_for) == (2, [online[-1].server_id])
