from datetime import datetime

from application.ports.store.store import Transaction
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import ManManError
from domain.server import Server


def enforce(
    transaction: Transaction,
    enforcement: Enforcement,
    switch: Switch,
    server: Server,
    error: ManManError,
    now: datetime,
) -> None:
    """Raise the error, note that it would be raised, or let it be, as the switch is set."""
    mode = enforcement.of(switch)
    if mode is Mode.ENFORCE:
        raise error
    if mode is Mode.WARN:
        transaction.dry_run_refusals.record(switch, server.server_id, server.name, str(error), now)
