from datetime import datetime

from application.ports.store.store import Transaction
from application.registration.claim_name import Claimed
from domain.machine_evidence import Evidence, Identity, Match, compare


def record_identity(
    transaction: Transaction, claimed: Claimed, evidence: Evidence, address: str, now: datetime
) -> None:
    """Store which machine the server is on now. A host without evidence leaves the stored evidence
    as it is."""
    server_id = claimed.server.server_id
    known = transaction.identities.get(server_id)
    machine = known.machine
    if evidence:
        machine = _machine_number(transaction, claimed, known, evidence)
    identity = Identity(evidence or known.evidence, machine, address, now)
    transaction.identities.save(server_id, identity)


def _machine_number(
    transaction: Transaction, claimed: Claimed, known: Identity, evidence: Evidence
) -> int:
    """The id of the machine's first server, or a new number if that server was on another machine
    before. No machine ever gets the number of another one."""
    server_id = claimed.server.server_id
    numbers = {
        other.identity.machine
        for other in transaction.identities.of_machine(evidence)
        if other.server_id != server_id
    }
    comparison = compare(known.evidence, evidence)
    if not claimed.is_taken_over and comparison.match is not Match.OTHER_MACHINE:
        numbers.add(known.machine)
    numbers.discard(0)
    if numbers:
        return min(numbers)
    return transaction.identities.new_machine() if known.machine else server_id
