from tests.support.fleet import Fleet


def test_deleted_servers_are_listed_in_pages(fleet: Fleet) -> None:
    ids = [fleet.create(f"web-{number}", "").server_id for number in range(5)]
    for server_id in reversed(ids):
        fleet.delete(server_id)
    walked: list[int] = []
    after: int | None = 0
    while after is not None:
        page = fleet.list_deleted(size=2, after=after)
        walked += [deleted.server.server_id for deleted in page.servers]
        after = page.next_after

    assert walked == ids
    assert fleet.list_deleted(size=5).next_after is None
    assert fleet.list_deleted(size=4).next_after == ids[3]
