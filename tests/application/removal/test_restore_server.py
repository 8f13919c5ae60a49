from collections.abc import Sequence

import pytest

from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.registration.register_server import Registration
from domain.errors import DeletedServerNotFound, InvalidField, ServerNameTaken
from domain.events import EventKind
from domain.history import HistoryEntry
from domain.liveness import Status
from tests.support.builders import CAPABILITIES, SECOND, evidence
from tests.support.fleet import OPEN, Fleet

EVIDENCE = evidence("disk", "board", "boot", "instance")


@pytest.fixture
def web(fleet: Fleet) -> int:
    """A deleted server with a document."""
    registration = Registration("web", "production", CAPABILITIES, evidence=EVIDENCE)
    server_id = fleet.register(registration).server.server_id
    PutConfiguration(fleet.store, fleet.clock)(server_id, "limits", "[16]")
    fleet.delete(server_id, force=True)
    fleet.clock.advance(SECOND)
    return server_id


def history(fleet: Fleet, server_id: int) -> Sequence[HistoryEntry]:
    with fleet.store.begin() as transaction:
        return transaction.history.of(server_id)


def test_a_restored_server_is_offline_until_its_host_joins_again(fleet: Fleet, web: int) -> None:
    restored = fleet.restore(web)

    assert restored == fleet.get(web)
    assert (restored.server_id, restored.name, restored.environment) == (web, "web", "production")
    assert restored.presence.status is Status.OFFLINE
    assert restored.capabilities == CAPABILITIES
    again = fleet.register(Registration("web", evidence=EVIDENCE)).server
    assert (again.server_id, again.epoch) == (web, 1)
    assert again.presence.status is Status.ONLINE


def test_the_host_of_a_restored_server_fetches_its_configuration_again(
    fleet: Fleet, web: int
) -> None:
    fleet.restore(web)
    [answer] = fleet.heartbeat([Heartbeat(web, epoch=1)])
    fetch = FetchConfiguration(fleet.store, fleet.clock, authenticate_host=OPEN)
    changes = fetch(web, "", known_revision=1)

    assert isinstance(answer, Acknowledged)
    # Higher than the host may have, because documents of selectors may have changed meanwhile.
    assert answer.config_revision > 1
    assert changes.revision == answer.config_revision
    assert [(found.name, found.document) for found in changes.changed] == [("limits", "[16]")]


def test_a_restoration_is_in_the_history_and_the_earlier_history_is_kept(
    fleet: Fleet, web: int
) -> None:
    fleet.restore(web)
    kinds = [entry.kind for entry in history(fleet, web)]
    restored = next(entry for entry in history(fleet, web) if entry.kind is EventKind.RESTORED)

    assert kinds[0] is EventKind.REGISTERED
    assert kinds.index(EventKind.DELETED) < kinds.index(EventKind.RESTORED)
    assert (restored.at, restored.cause) == (fleet.clock.now(), "an operator restored it")


def test_a_restoration_under_another_name_names_it(fleet: Fleet, web: int) -> None:
    restored = fleet.restore(web, "old-web")
    [restoration] = [entry for entry in history(fleet, web) if entry.kind is EventKind.RESTORED]
    with fleet.store.begin() as transaction:
        names = {
            event.name for event in transaction.outbox.oldest(100) if event.at == restoration.at
        }

    assert restored.name == "old-web"
    assert restoration.cause == "an operator restored it under the name old-web"
    assert names == {"old-web"}


def test_a_server_that_has_the_name_keeps_it_and_the_error_says_what_to_do(
    fleet: Fleet, web: int
) -> None:
    other = fleet.register(Registration("web")).server

    with pytest.raises(ServerNameTaken) as refused:
        fleet.restore(web)
    assert str(refused.value) == (
        "a server named 'web' already exists: restore this one under another name (--name),"
        " or delete that one first"
    )
    assert fleet.get(other.server_id) == other
    assert [deleted.server.server_id for deleted in fleet.list_deleted(size=9).servers] == [web]
    fleet.delete(other.server_id, force=True)
    assert fleet.restore(web).name == "web"


@pytest.mark.parametrize("name", [" ", "x" * 256, "a\x00b", "web "])
def test_an_invalid_name_is_refused(fleet: Fleet, web: int, name: str) -> None:
    with pytest.raises(InvalidField, match=r"^name "):
        fleet.restore(web, name)
    assert fleet.restore(web).name == "web"


def test_only_deleted_servers_can_be_restored(fleet: Fleet, web: int) -> None:
    fleet.restore(web)

    for server_id in (web, 4711):
        with pytest.raises(DeletedServerNotFound):
            fleet.restore(server_id)
