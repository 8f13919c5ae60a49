"""What a server is configured with, and what follows when that changes.

A change begins at the configuration's clock, before any server is locked.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime

from application.ports.store.store import StoreFailed, StoreUnavailable, Transaction
from domain.configuration import Configuration, ConfigurationSummary, effective, has_older_revision
from domain.events import Event, EventKind
from domain.server import Server

# Each is for some hundred servers.
_MAX_PROPAGATION_ROUNDS = 20

# Why a server's configuration changed though nobody touched a document.
CONFIGURED_BY_LABELS = "by its labels other documents are for it now"


def effective_configuration(transaction: Transaction, server: Server) -> list[ConfigurationSummary]:
    """By name."""
    return effective(
        transaction.configurations.summaries(server.server_id),
        transaction.selector_configurations.matching(server.labels.effective),
    )


def document_of(
    transaction: Transaction, server: Server, found: ConfigurationSummary
) -> Configuration | None:
    if found.selector:
        return transaction.selector_configurations.get(found.selector, found.name)
    return transaction.configurations.get(server.server_id, found.name)


def server_to_configure(transaction: Transaction, server_id: int) -> tuple[Server, int]:
    """The server, locked, and the revision of a change of its configuration. Raises
    ServerNotFound."""
    revision = transaction.configuration_clock.tick()
    server = transaction.servers.get(server_id, lock=True)
    return server, _above(transaction, revision, server.config_revision)


def servers_to_configure(
    transaction: Transaction, server_ids: Collection[int]
) -> tuple[Mapping[int, Server], int]:
    """The same of several servers, by their ids, with one revision for all of them."""
    revision = transaction.configuration_clock.tick()
    servers = {
        server_id: transaction.servers.get(server_id, lock=True) for server_id in sorted(server_ids)
    }
    highest = max(server.config_revision for server in servers.values())
    return servers, _above(transaction, revision, highest)


def revision_for_selected(transaction: Transaction) -> int:
    """The revision of a change on a selector, which is new to whomever it selects."""
    revision = transaction.configuration_clock.tick()
    return _above(transaction, revision, transaction.servers.highest_revision())


def _above(transaction: Transaction, revision: int, known: int) -> int:
    """A change of labels gives a server a revision of its own, and so does an API that is older
    than the clock."""
    return revision if revision > known else transaction.configuration_clock.tick(above=known)


def configure_new_server(transaction: Transaction, server_id: int, last_revision: int) -> None:
    """Give a server that was just added a revision if it is configured with anything already:
    there are selectors of those that lack a label.

    `last_revision` is what the clock, which is held, said before the server was locked.
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
    """Give a server, which is locked and whose effective labels have changed, a new revision if
    that changes what it is configured with.

    `before` is the server with the labels that it had; `last_revision` is what the clock, which
    is held, said before the server was locked.
    """
    server = transaction.servers.get(before.server_id, lock=True)
    had = effective_configuration(transaction, before)
    has = effective_configuration(transaction, server)
    # What was taken from a selector of which it is no more would not be told to it.
    misses_change = transaction.selector_changes.any()
    if had == has and not misses_change:
        return
    resync = misses_change or has_older_revision(had, has, server.config_revision)
    revision = _next_revision(server, last_revision)
    transaction.servers.configure([server.server_id], revision, resync=resync)
    transaction.outbox.add(
        [Event(EventKind.CONFIGURED, server.server_id, now, CONFIGURED_BY_LABELS)]
    )


def force_resync(transaction: Transaction, server: Server, last_revision: int) -> None:
    """Have the host of a server, which is locked, fetch everything that it is configured with:
    what it knows may be older than what was changed without this server.

    `last_revision` is what the clock, which is held, said before the server was locked.
    """
    if server.config_revision or effective_configuration(transaction, server):
        revision = _next_revision(server, last_revision)
        transaction.servers.configure([server.server_id], revision, resync=True)


def propagate_now(propagate: Callable[[], bool]) -> None:
    """Spread a change that is durable, as far as can be done while its caller waits."""
    # What remains is done in the background, which also says what is wrong with the store.
    with suppress(StoreUnavailable, StoreFailed):
        for _ in range(_MAX_PROPAGATION_ROUNDS):
            if not propagate():
                return


def _next_revision(server: Server, last_revision: int) -> int:
    return max(last_revision, server.config_revision) + 1
