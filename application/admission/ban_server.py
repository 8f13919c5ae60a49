from collections.abc import Sequence
from dataclasses import dataclass

from application.admission.refuse_server import refuse_server
from application.ports.clock import Clock
from application.ports.store.bans import Ban
from application.ports.store.store import Store, Transaction
from domain.approval import Approval, check_reason
from domain.server import Server


@dataclass(frozen=True)
class BanServer:
    """Refuse a machine under any name, and with it all its servers.

    If the host of the server never sent evidence of its machine, only this server is refused.
    Raises ServerNotFound and InvalidField.
    """

    store: Store
    clock: Clock

    def __call__(self, server_id: int, reason: str = "") -> Server:
        check_reason(reason)
        with self.store.begin() as transaction:
            server, mates = _locked(transaction, server_id)
            now = self.clock.now()
            evidence = transaction.identities.get(server_id).evidence
            if evidence:
                transaction.bans.add(Ban(server_id, server.name, evidence, reason, now))
            banned = refuse_server(
                transaction, server, Approval.BANNED, _cause(mates, bool(evidence)), reason, now
            )
            for mate in mates:
                cause = f"an operator banned its machine as server {server_id} ({server.name})"
                refuse_server(transaction, mate, Approval.BANNED, cause, reason, now)
        return banned


def _locked(transaction: Transaction, server_id: int) -> tuple[Server, Sequence[Server]]:
    """The server and the others of its machine, locked in the order that every caller uses."""
    server = transaction.servers.get(server_id)
    of_machine = transaction.servers.of_machine(server.machine) if server.machine else [server]
    ids = sorted({server_id, *(each.server_id for each in of_machine)})
    servers = {each: transaction.servers.get(each, lock=True) for each in ids}
    return servers.pop(server_id), list(servers.values())


def _cause(mates: Sequence[Server], knows_machine: bool) -> str:
    cause = "an operator banned it"
    if not knows_machine:
        return f"{cause} by its name alone, because its host sent no evidence of its machine"
    if not mates:
        return f"{cause} and its machine"
    others = " and ".join(f"server {mate.server_id} ({mate.name})" for mate in mates)
    return f"{cause} and its machine, and with them {others}"
