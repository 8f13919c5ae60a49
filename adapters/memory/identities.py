from collections.abc import Sequence
from dataclasses import replace

from adapters.memory.tables import Tables
from application.ports.store.identities import KnownIdentity
from domain.machine_evidence import UNKNOWN_IDENTITY, Evidence, Identity, compare

_MAX_MATCHES = 100


class MemoryIdentities:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, server_id: int) -> Identity:
        return self._tables.identities.get(server_id, UNKNOWN_IDENTITY)

    def save(self, server_id: int, identity: Identity) -> None:
        self._tables.identities[server_id] = identity
        server = self._tables.servers[server_id]
        self._tables.servers[server_id] = replace(
            server, machine=identity.machine, address=identity.address
        )

    def of_machine(self, evidence: Evidence) -> Sequence[KnownIdentity]:
        of_machine = replace(evidence, instance_id="")
        matches = [
            KnownIdentity(server_id, identity)
            for server_id, identity in sorted(self._tables.identities.items())
            if compare(identity.evidence, of_machine).same_machine
        ]
        return matches[:_MAX_MATCHES]

    def new_machine(self) -> int:
        self._tables.last_id += 1
        return self._tables.last_id
