"""The documents that apply to a server, and the revisions to set when they change.

Every change takes the configuration clock first, before it locks any server.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime

from application.ports.store.store import StoreFailed, StoreUnavailable, Transaction
from domain.configuration import Configuration, ConfigurationSummary, effective, has_older_revision
from domain.events import Event, EventKind
from domain.server import Server

# Each round reaches some hundred servers.
_MAX_PROPAGATION_ROUNDS = 20

# The cause when a change of labels, not of a document, changed the configuration.
CONFIGURED_BY_LABELS = "its labels changed, so other documents apply to it"


def effective_configuration(transaction: Transaction, server: Server) -> list[ConfigurationSummary]:
    """The documents that apply to the server, sorted by name."""
    return effective(
        transaction.configurations.summaries(server.server_id),
        transaction.selector_configurations.matching(server.labels.effective),
    )


def document_of(
    transaction: Transaction, server: Server, summary: ConfigurationSummary
) -> Configuration | None:
    if summary.selector:
        return transaction.selector_configurations.get(summary.selector, summary.name)
    return transaction.configurations.get(server.server_id, summary.name)


def server_to_configure(transaction: Transaction, server_id: int) -> tuple[Server, int]:
    """Lock the server and take a revision for a change of its configuration. Raises
    ServerNotFound."""
    revision = transaction.configuration_clock.tick()
    server = transaction.servers.get(server_id, lock=True)
    return server, _above(transaction, revision, server.config_revision)


def servers_to_configure(
    transaction: Transaction, server_ids: Collection[int]
) -> tuple[Mapping[int, Server], int]:
    """The same for several servers, which share one revision. They are returned by id."""
    revision = transaction.configuration_clock.tick()
    servers = {
        server_id: transaction.servers.get(server_id, lock=True) for server_id in sorted(server_ids)
    }
    highest = max(server.config_revision for server in servers.values())
    return servers, _above(transaction, revision, highest)


def revision_for_selected(transaction: Transaction) -> int:
    """Take a revision for a change on a selector: higher than that of any server."""
    revision = transaction.configuration_clock.tick()
    return _above(transaction, revision, transaction.servers.highest_revision())


def _above(transaction: Transaction, revision: int, known: int) -> int:
    """The revision, or a new one above `known`.

    A server can be ahead of the clock: a change of labels gives it a revision of its own, and so
    does an API of a version without the clock.
    """
    return revision if revision > known else transaction.configuration_clock.tick(above=known)


def configure_new_server(transaction: Transaction, server_id: int, last_revision: int) -> None:
    """Give a new server a revision if any document applies to it: a selector can require that a
    label is absent.

    `last_revision` is the clock's revision from before the server was locked; the clock is held.
    """
    if not transaction.selector_configurations.summaries():
        return
    server = transaction.servers.get(server_id, lock=True)
    if effective_configuration(transaction, server):
        revision = _next_revision(server, last_revision)
        transaction.servers.configure([server_id], revision, resync=False)


def configure_relabelled(
    transaction: Transaction, before: Server, last_revision: int, now: datetime
) -> None:
    """Give a server whose effective labels changed a new revision if other documents now apply.

    `before` is the server with its old labels, locked. `last_revision` is the clock's revision
    from before the server was locked; the clock is held.
    """
    server = transaction.servers.get(before.server_id, lock=True)
    old = effective_configuration(transaction, before)
    new = effective_configuration(transaction, server)
    # A pending deletion on a selector that no longer selects the server would never reach it.
    misses_change = transaction.selector_changes.any()
    if old == new and not misses_change:
        return
    resync = misses_change or has_older_revision(old, new, server.config_revision)
    revision = _next_revision(server, last_revision)
    transaction.servers.configure([server.server_id], revision, resync=resync)
    transaction.outbox.add(
        [Event(EventKind.CONFIGURED, server.server_id, now, CONFIGURED_BY_LABELS)]
    )


def force_resync(transaction: Transaction, server: Server, last_revision: int) -> None:
    """Make the host of a locked server fetch all its documents again: it may have missed changes
    while the server was deleted.

    `last_revision` is the clock's revision from before the server was locked; the clock is held.
    """
    if server.config_revision or effective_configuration(transaction, server):
        revision = _next_revision(server, last_revision)
        transaction.servers.configure([server.server_id], revision, resync=True)


def propagate_now(propagate: Callable[[], bool]) -> None:
    """Propagate a committed change as far as possible while its caller waits."""
    # The background loop does the rest, and logs the problems of the store.
    with suppress(StoreUnavailable, StoreFailed):
        for _ in range(_MAX_PROPAGATION_ROUNDS):
            if not propagate():
                return


def _next_revision(server: Server, last_revision: int) -> int:
    return max(last_revision, server.config_revision) + 1
