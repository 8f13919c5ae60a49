"""Concurrent batches of heartbeats."""

from collections.abc import Callable
from functools import partial

from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.ports.store.store import Store
from application.registration.register_server import Registration
from domain.errors import SupersededRegistration
from tests.support.builders import at_once
from tests.support.fleet import Fleet

ROUNDS = 20


def test_concurrent_batches_with_refused_heartbeats_never_deadlock(
    open_store: Callable[[], Store],
) -> None:
    fleets = [Fleet(open_store()) for _ in range(2)]
    registered = [fleets[0].register(Registration(name)).server for name in ("a", "b") * 2]
    first, second = (server.server_id for server in registered[2:])
    replaced = [Heartbeat(first, epoch=1), Heartbeat(second, epoch=2)]
    usual = [Heartbeat(first, epoch=2), Heartbeat(second, epoch=2)]

    def beat(n: int) -> list[type]:
        return [type(answer) for answer in fleets[n % 2].heartbeat([usual, replaced][n % 2])]

    for _ in range(ROUNDS):
        answers = at_once([partial(beat, n) for n in range(8)])

        assert answers == [[Acknowledged, Acknowledged], [SupersededRegistration, Acknowledged]] * 4
