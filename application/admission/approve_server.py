from collections.abc import Sequence
from dataclasses import dataclass, replace

from application.ports.clock import Clock
from application.ports.store.bans import Ban
from application.ports.store.store import Store, Transaction
from domain.approval import Approval
from domain.errors import ServerNotFound
from domain.events import Event, EventKind
from domain.machine_evidence import matches_ban
from domain.server import Server


@dataclass(frozen=True)
class ApproveServer:
    """Admit a pending server, or a rejected or banned one again.

    This lifts every ban that matches its machine, because its host would still be refused. Other
    servers that were banned with it stay banned until they are approved themselves. A ban can
    outlive its server: then the ban is lifted and None is returned.

    Raises ServerNotFound if there is neither a server nor a ban.
    """

    store: Store
    clock: Clock

    def __call__(self, server_id: int) -> Server | None:
        with self.store.begin() as transaction:
            try:
                server = transaction.servers.get(server_id, lock=True)
            except ServerNotFound:
                if transaction.bans.remove(server_id):
                    return None
                raise
            others = _other_matching_bans(transaction, server_id)
            for ban in others:
                transaction.bans.remove(ban.server_id)
            lifted = transaction.bans.remove(server_id) or bool(others)
            if server.approval is Approval.APPROVED and not lifted:
                return server
            server = replace(server, approval=Approval.APPROVED, approval_reason="")
            transaction.servers.save(server)
            cause = _cause(others, lifted=lifted)
            transaction.outbox.add([Event(EventKind.APPROVED, server_id, self.clock.now(), cause)])
        return server


def _other_matching_bans(transaction: Transaction, server_id: int) -> Sequence[Ban]:
    evidence = transaction.identities.get(server_id).evidence
    return [
        ban
        for ban in transaction.bans.resembling(evidence)
        if ban.server_id != server_id and matches_ban(ban.evidence, evidence)
    ]


def _cause(others: Sequence[Ban], *, lifted: bool) -> str:
    cause = "an operator approved it"
    if lifted:
        cause += " and lifted the ban on its machine"
    if others:
        servers = " and ".join(f"server {ban.server_id} ({ban.name})" for ban in others)
        cause += f", which was made on {servers}"
    return cause
