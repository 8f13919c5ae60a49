"""The documents of hosts after random changes, compared with a small model of the rules."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.delete_selector_configuration import DeleteSelectorConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.get_effective_configuration import GetEffectiveConfiguration
from application.configuration.propagate_configuration import PropagateConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.host.sync_configuration import SyncConfiguration
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.ports.store.store import Store
from application.registration.register_server import Registration
from application.servers.label_server import LabelServer
from domain.configuration import ConfigurationChanges
from domain.errors import ConfigurationNotFound, SelectorConfigurationNotFound
from domain.labels import Selector, parse_selector
from tests.support.fakes import FakeConfigurationFolder, FakeControlPlane, FakeSleep
from tests.support.fleet import OPEN, Fleet

HOSTS = st.sampled_from(["web", "db"])
LABELS = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]))
KEYS = st.sets(st.sampled_from(["a", "b"]))
NAMES = st.sampled_from(["limits", "motd"])
SELECTORS = st.sampled_from(
    [parse_selector(text) for text in ("a", "!a", "a=x", "b!=y", "a,b", "a=x,!b")]
)


@dataclass
class Put:
    """A document that was put, and its position among all puts."""

    document: str
    number: int


@dataclass
class Host:
    """A server with its host, and the expectations of the model."""

    server_id: int
    folder: FakeConfigurationFolder = field(default_factory=FakeConfigurationFolder)
    own: dict[str, Put] = field(default_factory=dict)
    of_host: dict[str, str] = field(default_factory=dict)
    of_operators: dict[str, str] = field(default_factory=dict)
    is_deleted: bool = False


class BusyControlPlane(FakeControlPlane):
    """A control plane in which something happens between two answers."""

    def __init__(self, fetch: FetchConfiguration) -> None:
        super().__init__()
        self.fetch = fetch
        self.meanwhile: list[Callable[[], None]] = []

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        changes = self.fetch(server_id, "", known_revision, after_revision)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return changes


class ConfigurationMachine(RuleBasedStateMachine):
    store: Store
    # One store serves many examples, each with its own servers.
    lives = count()

    def __init__(self) -> None:
        super().__init__()
        self.life = next(self.lives)
        self.fleet = Fleet(self.store)
        self.put_own = PutConfiguration(self.store, self.fleet.clock)
        self.delete_own = DeleteConfiguration(self.store, self.fleet.clock)
        # Propagated to one server after another, and only on request.
        self.propagate = PropagateConfiguration(self.store, self.fleet.clock, batch_size=1)
        self.put_on = PutSelectorConfiguration(self.store, self.fleet.clock, lambda: False)
        self.delete_from = DeleteSelectorConfiguration(self.store, lambda: False)
        self.label_server = LabelServer(self.store, self.fleet.clock)
        self.effective = GetEffectiveConfiguration(self.store)
        # Small answers, so that most requests need several.
        self.control_plane = BusyControlPlane(
            FetchConfiguration(self.store, self.fleet.clock, OPEN, max_response_bytes=1)
        )
        self.hosts: dict[str, Host] = {}
        self.on_selectors: dict[tuple[Selector, str], Put] = {}
        self.puts = 0
        # The store may still have documents of an earlier example.
        with self.store.begin() as transaction:
            for summary in transaction.selector_configurations.summaries():
                assert summary.selector
                transaction.selector_configurations.remove(summary.selector, summary.name)
        self.propagate_to_all()

    def next_put(self) -> Put:
        self.puts += 1
        return Put(json.dumps(self.puts), self.puts)

    @property
    def living(self) -> list[Host]:
        return [host for host in self.hosts.values() if not host.is_deleted]

    def some(self, number: int) -> Host:
        return self.living[number % len(self.living)]

    @rule(name=HOSTS, labels=st.none() | LABELS)
    def register(self, name: str, labels: dict[str, str] | None) -> None:
        host = self.hosts.get(name)
        if host and host.is_deleted:
            return
        registered = self.fleet.register(Registration(f"{name}-{self.life}", labels=labels))
        host = self.hosts.setdefault(name, Host(registered.server.server_id))
        host.of_host = host.of_host if labels is None else labels
        self.follow(host, registered.config_revision)

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2), labels=LABELS, unset=KEYS)
    def label(self, number: int, labels: dict[str, str], unset: set[str]) -> None:
        host, unset = self.some(number), unset - labels.keys()
        if labels or unset:
            self.label_server(host.server_id, labels, unset)
        host.of_operators = {
            key: value for key, value in {**host.of_operators, **labels}.items() if key not in unset
        }

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2), name=NAMES)
    def put(self, number: int, name: str) -> None:
        host, put = self.some(number), self.next_put()
        self.put_own(host.server_id, name, put.document)
        host.own[name] = put

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2), name=NAMES)
    def delete(self, number: int, name: str) -> None:
        host = self.some(number)
        if host.own.pop(name, None):
            self.delete_own(host.server_id, name)
        else:
            with pytest.raises(ConfigurationNotFound):
                self.delete_own(host.server_id, name)

    @rule(selector=SELECTORS, name=NAMES)
    def put_on_a_selector(self, selector: Selector, name: str) -> None:
        put = self.next_put()
        self.put_on(selector, name, put.document)
        self.on_selectors[selector, name] = put

    @rule(selector=SELECTORS, name=NAMES)
    def delete_from_a_selector(self, selector: Selector, name: str) -> None:
        if self.on_selectors.pop((selector, name), None):
            self.delete_from(selector, name)
        else:
            with pytest.raises(SelectorConfigurationNotFound):
                self.delete_from(selector, name)

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2))
    def delete_a_server(self, number: int) -> None:
        host = self.some(number)
        self.fleet.delete(host.server_id, force=True)
        host.is_deleted = True

    @precondition(lambda self: len(self.living) < len(self.hosts))
    @rule()
    def restore_a_server(self) -> None:
        host = next(host for host in self.hosts.values() if host.is_deleted)
        self.fleet.restore(host.server_id)
        host.is_deleted = False
        self.beat(host)

    @rule(times=st.integers(1, 5))
    def propagate_to_some(self, times: int) -> None:
        for _ in range(times):
            self.propagate()

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2))
    def heartbeat(self, number: int) -> None:
        self.beat(self.some(number))

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2))
    def heartbeat_before_propagation_is_complete(self, number: int) -> None:
        self.fetch_all(self.some(number))

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2), labels=LABELS, selector=SELECTORS, name=NAMES)
    def heartbeat_while_things_change(
        self, number: int, labels: dict[str, str], selector: Selector, name: str
    ) -> None:
        host = self.some(number)
        self.control_plane.meanwhile.extend(
            [
                lambda: self.label(number, labels, set()),
                lambda: self.put_on_a_selector(selector, name),
            ]
        )
        self.fetch_all(host)
        self.control_plane.meanwhile.clear()
        self.beat(host)

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2))
    def a_host_loses_its_folder(self, number: int) -> None:
        self.some(number).folder = FakeConfigurationFolder()

    def teardown(self) -> None:
        # Documents that the next example puts on selectors are propagated to all servers.
        for host in self.living:
            self.fleet.delete(host.server_id, force=True)

    def propagate_to_all(self) -> None:
        while self.propagate():
            pass

    def beat(self, host: Host) -> None:
        self.propagate_to_all()
        self.fetch_all(host)

        assert host.folder.documents == self.expected(host)
        assert [document.name for document in self.effective(host.server_id)] == sorted(
            host.folder.documents
        )

    def fetch_all(self, host: Host) -> None:
        [answer] = self.fleet.heartbeat([Heartbeat(host.server_id)])
        assert isinstance(answer, Acknowledged)
        self.follow(host, answer.config_revision)

    def follow(self, host: Host, revision_for_host: int) -> None:
        follow = SyncConfiguration(self.control_plane, host.folder, FakeSleep(sleeps=1))
        follow(host.server_id, revision_for_host, ping_watchdog=lambda: None)

    def expected(self, host: Host) -> dict[str, str]:
        labels = {**host.of_host, **host.of_operators}
        weakest_first = sorted(
            (
                (len(selector.requirements), put.number, name, put.document)
                for (selector, name), put in self.on_selectors.items()
                if selector.matches(labels)
            ),
        )
        of_selectors = {name: document for _, _, name, document in weakest_first}
        return {**of_selectors, **{name: put.document for name, put in host.own.items()}}


@pytest.mark.parametrize(
    ("open_store", "lives"), [("memory", 200), ("postgresql", 15)], indirect=["open_store"]
)
def test_a_host_has_the_documents_of_its_server(
    open_store: Callable[[], Store], lives: int
) -> None:
    class OnThisStore(ConfigurationMachine):
        store = open_store()

    run_state_machine_as_test(
        OnThisStore, settings=settings(max_examples=lives, stateful_step_count=40, deadline=None)
    )
