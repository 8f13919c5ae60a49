import pytest

from adapters.memory.store import MemoryStore
from application.access.enforcement import enforce
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import ServerNotApproved
from domain.server import Server
from tests.support.builders import NOW

SERVER = Server(12, "web")
ERROR = ServerNotApproved(12, "pending")


@pytest.mark.parametrize("mode", Mode)
def test_an_error_is_raised_recorded_or_ignored_by_the_mode_of_its_switch(mode: Mode) -> None:
    store = MemoryStore()
    enforcement = Enforcement({Switch.APPROVAL: mode, Switch.BAN: Mode.ENFORCE})
    raised = None
    with store.begin() as transaction:
        try:
            enforce(transaction, enforcement, Switch.APPROVAL, SERVER, ERROR, NOW)
        except ServerNotApproved as error:
            raised = error
    with store.begin() as transaction:
        recorded = [
            (one.switch, one.server_id, one.name, one.reason, one.last_at)
            for one in transaction.dry_run_refusals.page(after=0, size=9)
        ]

    assert raised == (ERROR if mode is Mode.ENFORCE else None)
    expected = [(Switch.APPROVAL, 12, "web", str(ERROR), NOW)]
    assert recorded == (expected if mode is Mode.WARN else [])
