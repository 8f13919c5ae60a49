from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.store.store import Store, Transaction
from domain.errors import ServerNotFound
from domain.explanation import Facts, explain, explain_deleted
from domain.history import HistoryEntry
from domain.retention import DEFAULT_RETENTION, Retention


@dataclass(frozen=True, slots=True)
class Explanation:
    """The sentences, and the history, oldest first."""

    sentences: Sequence[str]
    history: Sequence[HistoryEntry]


@dataclass(frozen=True)
class ExplainServer:
    """Explain why a server is in its present state. A deleted server that can be restored is
    explained too.

    Raises ServerNotFound.
    """

    store: Store
    clock: Clock
    retention: Retention = DEFAULT_RETENTION

    def __call__(self, server_id: int) -> Explanation:
        with self.store.begin() as transaction:
            history = transaction.history.of(server_id)
            try:
                server = transaction.servers.get(server_id)
            except ServerNotFound:
                return Explanation(_explain_deleted(transaction, server_id), history)
            others = transaction.servers.of_machine(server.machine)
            facts = Facts(
                server=server,
                identity=transaction.identities.get(server_id),
                history=history,
                neighbours=[other for other in others if other.server_id != server_id],
                conflicts=transaction.conflicts.of_name(server.name),
                ephemeral_retention=self.retention.ephemeral,
                now=self.clock.now(),
            )
        return Explanation(explain(facts), history)


def _explain_deleted(transaction: Transaction, server_id: int) -> Sequence[str]:
    for deleted in transaction.deleted_servers.page(after=max(server_id, 1) - 1, size=1):
        if deleted.server.server_id == server_id:
            return explain_deleted(
                deleted.server, deleted.deleted_at, deleted.purged_at, deleted.cause
            )
    raise ServerNotFound(server_id)
