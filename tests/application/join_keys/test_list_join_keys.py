from application.join_keys.list_join_keys import ListJoinKeys
from tests.support.fleet import Fleet
from tests.support.join_keys import join, make


def test_keys_are_listed_in_pages_with_the_number_of_their_servers(fleet: Fleet) -> None:
    keys = [make(fleet) for _ in range(3)]
    join(fleet, keys[0], "a")
    join(fleet, keys[0], "b")
    join(fleet, keys[2], "c")
    list_keys = ListJoinKeys(fleet.store)
    first = list_keys(size=2)
    second = list_keys(size=2, after=first.next_after or "")

    assert [(one.key, one.used) for one in [*first.keys, *second.keys]] == [
        (keys[0].key, 2),
        (keys[1].key, 0),
        (keys[2].key, 1),
    ]
    assert second.next_after is None
