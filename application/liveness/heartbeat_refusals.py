from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from application.access.refusals import not_admitted, superseded
from application.ports.store.store import Transaction
from domain.enforcement import Mode, Switch
from domain.errors import ManManError, ServerNotFound
from domain.events import EventKind
from domain.host_credential import HostCredential
from domain.machine_evidence import UNKNOWN_IDENTITY
from domain.registration_rules import RegistrationRules
from domain.server import Server


@dataclass(frozen=True, slots=True)
class HeartbeatRefusal:
    """The error for a sender that proves to be the server's host, and the error for all others,
    because a server id is easily guessed.

    A credential from before another machine took the server over proves nothing.
    """

    # The server's current epoch.
    epoch: int
    to_its_host: ManManError
    to_others: ManManError
    taken_over_at: datetime | None = None

    def error_for(self, proof: HostCredential | None) -> ManManError:
        if not proof or self._predates_takeover(proof):
            return self.to_others
        return self.to_its_host

    def _predates_takeover(self, proof: HostCredential) -> bool:
        # The epoch is compared too, because times in a credential are whole seconds.
        return (
            proof.epoch < self.epoch
            and self.taken_over_at is not None
            and proof.issued_at <= self.taken_over_at
        )


@dataclass(frozen=True)
class HeartbeatRefusals:
    """Finds out why servers do not accept heartbeats, within the transaction that records them.

    A switch that only warns records what it would have refused.
    """

    transaction: Transaction
    rules: RegistrationRules
    now: datetime

    def __call__(
        self,
        unaccepted: Collection[tuple[int, int]],
        recorded: Collection[int],
        proven: Collection[int],
    ) -> Mapping[tuple[int, int], HeartbeatRefusal]:
        """`unaccepted` are server ids with the epoch of the heartbeat; the answer has those that
        are refused. `recorded` are the ids of servers whose presence was set, `proven` of those
        for which a heartbeat of the batch showed a valid credential."""
        # Read without a lock: a lock taken after those of the batch could deadlock with another
        # batch.
        existing = self.transaction.presences.known({server_id for server_id, _ in unaccepted})
        refusals: dict[tuple[int, int], HeartbeatRefusal] = {}
        for server_id, epoch in sorted(unaccepted):
            try:
                if server_id not in existing:
                    raise ServerNotFound(server_id)
                server = self.transaction.servers.get(server_id)
            except ServerNotFound as error:
                refusals[server_id, epoch] = HeartbeatRefusal(0, error, error)
                continue
            is_recorded = server_id in recorded
            switch, refusal = self._refusal(server, is_recorded=is_recorded)
            if server_id in proven:
                refusal = replace(refusal, taken_over_at=self._taken_over_at(server_id))
            mode = self.rules.enforcement.of(switch)
            if mode is Mode.ENFORCE or not is_recorded:
                refusals[server_id, epoch] = refusal
            elif mode is Mode.WARN:
                message = str(refusal.to_its_host)
                self.transaction.dry_run_refusals.record(
                    switch, server_id, server.name, message, self.now
                )
        return refusals

    def _refusal(self, server: Server, *, is_recorded: bool) -> tuple[Switch, HeartbeatRefusal]:
        # Where bans are not enforced, a presence that was not set was refused for its epoch.
        if not server.approval.admits and (is_recorded or self.rules.enforces(Switch.BAN)):
            # To others the server looks nonexistent. They register again, and learn the reason
            # then if a key admits them.
            nonexistent = ServerNotFound(server.server_id)
            return Switch.BAN, HeartbeatRefusal(server.epoch, not_admitted(server), nonexistent)
        successor = self.transaction.identities.get(server.server_id)
        return Switch.EPOCH, HeartbeatRefusal(
            server.epoch, superseded(server, successor), superseded(server, UNKNOWN_IDENTITY)
        )

    def _taken_over_at(self, server_id: int) -> datetime | None:
        history = self.transaction.history.of(server_id)
        return max(
            (entry.at for entry in history if entry.kind is EventKind.TAKEN_OVER), default=None
        )
