from dataclasses import replace

import pytest

from application.registration.register_server import Registration
from application.servers.update_server import ServerChanges
from domain.errors import InvalidField, ServerNameTaken, ServerNotFound
from domain.liveness import Presence, Status, online_presence
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND
from tests.support.fleet import Fleet


@pytest.fixture
def web(fleet: Fleet) -> int:
    return fleet.register(Registration("web", "production", CAPABILITIES)).server.server_id


def test_an_update_without_changes_changes_nothing(fleet: Fleet, web: int) -> None:
    before = fleet.get(web)

    assert fleet.update(web, ServerChanges()) == before
    assert fleet.get(web) == before


def test_everything_can_be_changed_at_once(fleet: Fleet, web: int) -> None:
    changed = fleet.update(web, ServerChanges("db", Status.OFFLINE, is_default=True))

    assert changed == fleet.get(web)
    assert (changed.name, changed.is_default) == ("db", True)
    assert changed.presence == Presence(Status.OFFLINE, NOW, None)
    assert (changed.environment, changed.capabilities) == ("production", CAPABILITIES)


def test_a_renamed_server_is_found_by_its_new_name(fleet: Fleet, web: int) -> None:
    fleet.update(web, ServerChanges(name="db"))

    assert fleet.register(Registration("db")).server.server_id == web
    assert fleet.register(Registration("web")).server.server_id != web


@pytest.mark.parametrize("name", ["", " ", "a\n", "x" * 256])
def test_a_bad_name_is_refused(fleet: Fleet, web: int, name: str) -> None:
    with pytest.raises(InvalidField) as refused:
        fleet.update(web, ServerChanges(name=name))

    assert refused.value.field == "name"


def test_the_name_of_another_server_is_refused_and_nothing_is_written(
    fleet: Fleet, web: int
) -> None:
    db = fleet.register(Registration("db")).server

    with pytest.raises(ServerNameTaken):
        fleet.update(db.server_id, ServerChanges("web", Status.OFFLINE, is_default=True))

    assert fleet.get(db.server_id) == db


def test_an_unknown_server_is_not_found(fleet: Fleet) -> None:
    with pytest.raises(ServerNotFound):
        fleet.update(4711, ServerChanges(name="web"))


def test_the_default_mark_moves(fleet: Fleet, web: int) -> None:
    db = fleet.create("db", "").server_id
    fleet.update(web, ServerChanges(is_default=True))
    fleet.update(db, ServerChanges(is_default=True))

    assert not fleet.get(web).is_default
    assert fleet.get(db).is_default


def test_setting_a_server_online_does_not_mark_it_as_seen(fleet: Fleet, web: int) -> None:
    fleet.update(web, ServerChanges(status=Status.OFFLINE))
    now = fleet.clock.advance(60 * SECOND)
    changed = fleet.update(web, ServerChanges(status=Status.ONLINE))

    assert changed.presence == Presence(Status.ONLINE, NOW, now + 3 * INTERVAL)


def test_a_heartbeat_overrides_the_operators_status(fleet: Fleet, web: int) -> None:
    fleet.update(web, ServerChanges(status=Status.OFFLINE))
    fleet.register(Registration("web"))

    assert fleet.get(web).presence == online_presence(NOW, INTERVAL)


def test_an_update_keeps_the_transport_of_the_last_heartbeat(fleet: Fleet) -> None:
    web = replace(fleet.register, via="amqp")(Registration("web")).server.server_id

    assert fleet.update(web, ServerChanges(status=Status.ONLINE)).presence.via == "amqp"
