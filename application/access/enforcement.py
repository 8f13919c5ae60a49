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
    """Raise the error, record that it would have been raised, or ignore it, depending on the
    mode of the switch."""
    mode = enforcement.of(switch)
    if mode is Mode.ENFORCE:
        raise error
    if mode is Mode.WARN:
        transaction.dry_run_refusals.record(switch, server.server_id, server.name, str(error), now)
