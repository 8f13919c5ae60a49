from application.admission.list_dry_run_refusals import ListDryRunRefusals
from domain.enforcement import Switch
from tests.support.fleet import Fleet


def test_dry_run_refusals_are_listed_in_pages(fleet: Fleet) -> None:
    with fleet.store.begin() as transaction:
        for n in range(5):
            transaction.dry_run_refusals.record(
                Switch.EPOCH, n, f"web-{n}", "because", fleet.clock.now()
            )
    names: list[str] = []
    after: int | None = 0
    while after is not None:
        page = ListDryRunRefusals(fleet.store)(size=2, after=after)
        names += [entry.name for entry in page.entries]
        after = page.next_after

    assert names == [f"web-{n}" for n in range(5)]
