import pytest

from application.join_keys.list_join_key_uses import ListJoinKeyUses
from application.ports.store.access.join_keys import JoinKeyUse
from domain.errors import InvalidField, JoinKeyNotFound
from tests.support.builders import NOW, SECOND
from tests.support.fleet import Fleet
from tests.support.join_keys import join, make, uses


def test_a_use_names_the_server_and_its_times(fleet: Fleet) -> None:
    key = make(fleet)
    server = join(fleet, key, address="10.0.0.7").server
    fleet.clock.advance(SECOND)
    join(fleet, key, address="10.0.0.8")

    assert uses(fleet, key) == [
        JoinKeyUse(key.key.key_id, server.server_id, "web", "10.0.0.8", NOW, NOW + SECOND, 2)
    ]


def test_uses_are_listed_in_pages(fleet: Fleet) -> None:
    key = make(fleet)
    ids = [join(fleet, key, f"web-{n}").server.server_id for n in range(3)]
    list_uses = ListJoinKeyUses(fleet.store)
    first = list_uses(key.key.key_id, size=2)
    second = list_uses(key.key.key_id, size=2, after=first.next_after or 0)

    assert [use.server_id for use in [*first.uses, *second.uses]] == ids
    assert second.next_after is None


def test_an_invalid_or_unknown_key_id_is_refused(fleet: Fleet) -> None:
    list_uses = ListJoinKeyUses(fleet.store)
    for wrong in (str(make(fleet).plaintext_key), "ok-aaaaaaaaaa", "", "\0"):
        with pytest.raises(InvalidField):
            list_uses(wrong, size=5)

    with pytest.raises(JoinKeyNotFound):
        list_uses("jk-zzzzzzzzzz", size=5)
