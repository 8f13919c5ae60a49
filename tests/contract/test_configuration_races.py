"""Operators change configurations and labels while hosts register and fetch."""

import json
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread

import pytest

from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.delete_selector_configuration import DeleteSelectorConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.propagate_configuration import PropagateConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.host.sync_configuration import SyncConfiguration
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.ports.store.store import Store
from application.registration.register_server import Registration
from application.servers.label_server import LabelServer
from domain.configuration import Configuration, ConfigurationChanges
from domain.errors import ConfigurationNotFound, SelectorConfigurationNotFound
from domain.labels import parse_selector
from domain.server import Server
from tests.support.builders import NOW, at_once
from tests.support.fakes import FakeConfigurationFolder, FakeControlPlane, FakeSleep
from tests.support.fleet import OPEN, Fleet

SELECTORS = [parse_selector(text) for text in ("a", "!a", "a=x", "a,b", "b!=y")]
NAMES = ["limits", "motd", "ports"]
HOSTS = 3
STEPS = 25


class Followed(FakeControlPlane):
    """Answers requests of hosts with one document at a time."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self.fetch = FetchConfiguration(fleet.store, fleet.clock, OPEN, max_response_bytes=1)

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        return self.fetch(server_id, "", known_revision, after_revision)


def some_labels(chance: random.Random) -> dict[str, str]:
    return {key: chance.choice("xy") for key in "ab" if chance.random() < 0.5}


class Host:
    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet, self.name = fleet, f"box-{number}"
        self.chance = random.Random(number)
        self.folder = FakeConfigurationFolder()
        self.server_id = fleet.register(Registration(self.name)).server.server_id
        self.follow = SyncConfiguration(Followed(fleet), self.folder, FakeSleep(sleeps=1))

    def live(self) -> None:
        for _ in range(STEPS):
            if self.chance.random() < 0.3:
                self.fleet.register(Registration(self.name, labels=some_labels(self.chance)))
            self.beat()

    def beat(self) -> None:
        [answer] = self.fleet.heartbeat([Heartbeat(self.server_id)])
        assert isinstance(answer, Acknowledged)
        self.follow(self.server_id, answer.config_revision, ping_watchdog=lambda: None)


def operate(fleet: Fleet, server_ids: list[int], seed: int) -> None:
    chance = random.Random(f"operator {seed}")
    propagate = PropagateConfiguration(fleet.store, fleet.clock, batch_size=2)
    put_on = PutSelectorConfiguration(fleet.store, fleet.clock, propagate)
    take_from = DeleteSelectorConfiguration(fleet.store, propagate)
    for step in range(STEPS):
        server_id, name = chance.choice(server_ids), chance.choice(NAMES)
        document = json.dumps([seed, step])
        match chance.randrange(5):
            case 0 | 1:
                put_on(chance.choice(SELECTORS), name, document)
            case 2:
                with suppress(SelectorConfigurationNotFound):
                    take_from(chance.choice(SELECTORS), name)
            case 3:
                LabelServer(fleet.store, fleet.clock)(server_id, some_labels(chance) or {"c": "z"})
            case _ if chance.random() < 0.5:
                PutConfiguration(fleet.store, fleet.clock)(server_id, name, document)
            case _:
                with suppress(ConfigurationNotFound):
                    DeleteConfiguration(fleet.store, fleet.clock)(server_id, name)


def test_after_concurrent_changes_every_host_has_its_documents(
    open_store: Callable[[], Store],
) -> None:
    fleets = [Fleet(open_store()), Fleet(open_store())]
    hosts = [Host(fleets[number % 2], number) for number in range(HOSTS)]
    server_ids = [host.server_id for host in hosts]
    lives: list[Callable[[], None]] = [host.live for host in hosts]
    for seed, fleet in enumerate(fleets):
        lives.append(partial(operate, fleet, server_ids, seed))
    at_once(lives)
    propagate = PropagateConfiguration(fleets[0].store, fleets[0].clock)
    while propagate():
        pass

    for host in hosts:
        host.beat()
        everything = FetchConfiguration(host.fleet.store, host.fleet.clock, OPEN)(
            host.server_id, "", 0
        )
        assert host.folder.documents == {each.name: each.document for each in everything.changed}


@pytest.mark.parametrize(
    "relabel",
    [
        lambda fleet, server: LabelServer(fleet.store, fleet.clock)(server.server_id, {"a": "x"}),
        lambda fleet, server: fleet.register(Registration(server.name, labels={"a": "x"})),
        lambda fleet, _: fleet.register(Registration("new", labels={"a": "x"})),
        lambda fleet, _: fleet.create("new", ""),
    ],
    ids=["by an operator", "by its host", "of a new host", "of a new record"],
)
def test_a_label_change_waits_for_a_selector_change_and_gets_its_document(
    open_store: Callable[[], Store], relabel: Callable[[Fleet, Server], object]
) -> None:
    fleet, other = Fleet(open_store()), Fleet(open_store())
    server = fleet.create("web", "")
    waiting = Thread(target=partial(relabel, other, server))
    with fleet.store.begin() as transaction:
        revision = transaction.configuration_clock.tick()
        for selector in (parse_selector("a=x"), parse_selector("!b")):
            transaction.selector_configurations.put(
                Configuration("motd", "1", revision, NOW, selector)
            )
        waiting.start()
        waiting.join(0.3)

        assert waiting.is_alive()
    waiting.join(60)
    [*_, last] = fleet.list(size=10).servers

    assert last.config_revision > revision
