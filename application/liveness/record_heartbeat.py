from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from application.access.host_credentials import HostCredentials, proof_of_identity
from application.liveness.heartbeat_intake import HeartbeatIntake
from application.liveness.heartbeat_interval import HeartbeatInterval
from application.liveness.heartbeat_refusals import HeartbeatRefusal, HeartbeatRefusals
from application.ports.clock import Clock
from application.ports.store.presences import Known
from application.ports.store.store import Store, Transaction
from domain.approval import Approval
from domain.capabilities import Capabilities, check_capabilities
from domain.enforcement import Mode, Switch
from domain.errors import (
    CertificateMismatch,
    CertificateRequired,
    CredentialRequired,
    InvalidField,
    ManManError,
)
from domain.events import status_events
from domain.host_credential import HostCredential
from domain.liveness import Status, offline_presence, online_presence
from domain.registration_rules import DEFAULT_RULES, RegistrationRules
from domain.spiffe import NOT_CERTIFIED, Certified

# For each batch. Where a whole fleet has no credentials, later batches record the other servers.
_MAX_RECORDED = 10

# The proofs that a heartbeat may need. A certificate is enough where both are required.
_PROOFS: Mapping[Switch, Callable[[int], ManManError]] = {
    Switch.CERTIFICATE: CertificateRequired,
    Switch.CREDENTIAL: CredentialRequired,
}


# Heartbeat, Acknowledged and _Item are not frozen, unlike other values: creating a frozen dataclass
# takes four times as long, and each heartbeat creates one of each.
@dataclass(slots=True)
class Heartbeat:
    """A host reports that it is alive, or that it stops on purpose.

    `epoch` is the one of the host's registration, 0 where the host does not know it.
    """

    server_id: int
    capabilities: Capabilities | None = None
    leaving: bool = False
    epoch: int = 0
    credential: str = field(default="", repr=False)
    certified_as: Certified = NOT_CERTIFIED


@dataclass(slots=True)
class Acknowledged:
    """The heartbeat is durable. `credential` replaces the one that the host has; it is empty in
    most answers."""

    config_revision: int
    next_heartbeat: timedelta
    approval: Approval = Approval.APPROVED
    credential: str = field(default="", repr=False)


@dataclass(slots=True)
class _Item:
    """A heartbeat of the batch, the valid credential of its server that it presents, and why it is
    not recorded."""

    heartbeat: Heartbeat
    proof: HostCredential | None
    problem: ManManError | None


@dataclass(frozen=True)
class RecordHeartbeat:
    """Write a batch of heartbeats in one transaction; a single heartbeat is a batch of one.

    Answers are in the order of the batch. An error of one heartbeat is its answer, and the others
    are written: CertificateMismatch, CertificateRequired and CredentialRequired before anything
    else, then InvalidField, ServerNotFound, SupersededRegistration or NotAdmitted. Which host took
    a server over and why an operator refuses it is reported only to senders that show the server's
    credential or certificate. When a batch has several heartbeats of one server, the last one
    counts, with the last capabilities that any of them reported.
    """

    store: Store
    clock: Clock
    heartbeat_interval: HeartbeatInterval
    heartbeat_intake: HeartbeatIntake
    via: str = ""
    rules: RegistrationRules = DEFAULT_RULES
    # Without it no credential is valid.
    credentials: HostCredentials | None = None

    def __call__(self, batch: Sequence[Heartbeat]) -> list[Acknowledged | ManManError]:
        try:
            return self._record(batch)
        except Exception:
            self.heartbeat_intake.failed_batches += 1
            raise

    def _record(self, batch: Sequence[Heartbeat]) -> list[Acknowledged | ManManError]:
        # Verified before the transaction begins, because checking a signature takes time.
        required = self._required_proof()
        items = [self._verified(heartbeat, required) for heartbeat in batch]
        interval = self.heartbeat_interval.interval
        with self.store.begin() as transaction:
            recorded, refusals = self._write(transaction, items, interval)
        return [self._answer(item, recorded, refusals, interval) for item in items]

    def _required_proof(self) -> Switch | None:
        return next((switch for switch in _PROOFS if self.rules.enforces(switch)), None)

    def _verified(self, heartbeat: Heartbeat, required: Switch | None) -> _Item:
        proof = proof_of_identity(self.credentials, heartbeat.credential, heartbeat.certified_as)
        if proof and proof.server_id != heartbeat.server_id:
            proof = None
        if proof:
            heartbeat = _with_proven_epoch(heartbeat, proof)
        problem = _missing_proof(heartbeat, proof, required) or _invalid_field(heartbeat)
        return _Item(heartbeat, proof, problem)

    def _write(
        self, transaction: Transaction, items: Sequence[_Item], interval: timedelta
    ) -> tuple[Mapping[int, Known], Mapping[tuple[int, int], HeartbeatRefusal]]:
        """Servers as they were before they were set, and the refusals by server and epoch."""
        valid = [item.heartbeat for item in items if not item.problem]
        newest = self._newest(valid)
        leaving = {one.server_id: one.epoch for one in newest.values() if one.leaving}
        staying = {one.server_id: one.epoch for one in newest.values() if not one.leaving}
        presences = transaction.presences
        if leaving:
            # Locked together: two groups locked one after the other could deadlock with another
            # batch.
            presences.lock(newest.keys())
        now = self.clock.now()
        include_refused = not self.rules.enforces(Switch.BAN)
        online = presences.set(
            staying, online_presence(now, interval, self.via), include_refused=include_refused
        )
        offline = presences.set(leaving, offline_presence(now), include_refused=include_refused)
        recorded = {**online, **offline}
        transaction.capability_reports.record(self._reports(valid, recorded), now)
        transaction.outbox.add(
            [
                event
                for before, status, cause in (
                    (online, Status.ONLINE, "its host was heard again"),
                    (offline, Status.OFFLINE, "its host reported that it stops"),
                )
                for server_id, server in before.items()
                for event in status_events(server_id, server.status, status, now, cause)
            ]
        )
        refusals = self._refusals(transaction, items, recorded, now)
        self._record_missing_proofs(transaction, items, recorded, now)
        return recorded, refusals

    def _newest(self, heartbeats: Sequence[Heartbeat]) -> Mapping[int, Heartbeat]:
        """The last heartbeat of the newest epoch of each server."""
        compares_epochs = self.rules.enforces(Switch.EPOCH)
        newest: dict[int, Heartbeat] = {}
        for heartbeat in heartbeats:
            server_id = heartbeat.server_id
            before = newest.get(server_id)
            if not compares_epochs:
                newest[server_id] = replace(heartbeat, epoch=0) if heartbeat.epoch else heartbeat
            elif before is None or not 0 < heartbeat.epoch < before.epoch:
                newest[server_id] = heartbeat
        return newest

    def _reports(
        self, heartbeats: Sequence[Heartbeat], recorded: Mapping[int, Known]
    ) -> Mapping[int, Capabilities]:
        compares_epochs = self.rules.enforces(Switch.EPOCH)
        return {
            heartbeat.server_id: heartbeat.capabilities
            for heartbeat in heartbeats
            if heartbeat.capabilities
            and heartbeat.server_id in recorded
            and not (compares_epochs and 0 < heartbeat.epoch < recorded[heartbeat.server_id].epoch)
        }

    def _refusals(
        self,
        transaction: Transaction,
        items: Sequence[_Item],
        recorded: Mapping[int, Known],
        now: datetime,
    ) -> Mapping[tuple[int, int], HeartbeatRefusal]:
        unaccepted = {
            (item.heartbeat.server_id, item.heartbeat.epoch)
            for item in items
            if not item.problem
            and not (
                (server := recorded.get(item.heartbeat.server_id))
                and server.accepts(item.heartbeat.epoch)
            )
        }
        if not unaccepted:
            return {}
        proven = {item.proof.server_id for item in items if item.proof}
        return HeartbeatRefusals(transaction, self.rules, now)(unaccepted, recorded, proven)

    def _record_missing_proofs(
        self,
        transaction: Transaction,
        items: Sequence[_Item],
        recorded: Collection[int],
        now: datetime,
    ) -> None:
        """Record what the switches that only warn would have refused."""
        for switch, required_error in _PROOFS.items():
            if self.rules.enforcement.of(switch) is not Mode.WARN:
                continue
            unproven = dict.fromkeys(
                item.heartbeat.server_id
                for item in items
                if not (
                    item.heartbeat.certified_as.server_id
                    or (item.proof and switch is Switch.CREDENTIAL)
                )
                and item.heartbeat.server_id in recorded
            )
            for server_id in sorted(islice(unproven, _MAX_RECORDED)):
                name = transaction.servers.get(server_id).name
                message = str(required_error(server_id))
                transaction.dry_run_refusals.record(switch, server_id, name, message, now)

    def _answer(
        self,
        item: _Item,
        recorded: Mapping[int, Known],
        refusals: Mapping[tuple[int, int], HeartbeatRefusal],
        interval: timedelta,
    ) -> Acknowledged | ManManError:
        if item.problem:
            return item.problem
        heartbeat, proof = item.heartbeat, item.proof
        if refusals and (refusal := refusals.get((heartbeat.server_id, heartbeat.epoch))):
            return refusal.error_for(proof)
        server = recorded[heartbeat.server_id]
        revision = self.rules.revision_for_host(server.config_revision, server.approval)
        renewed = self.credentials.renew(proof) if self.credentials and proof else ""
        return Acknowledged(revision, interval, server.approval, renewed)


def _with_proven_epoch(heartbeat: Heartbeat, proof: HostCredential) -> Heartbeat:
    """The heartbeat counts for the registration of its credential, where it names a later one or
    none: naming a later epoch makes no credential better."""
    if not proof.epoch or 0 != heartbeat.epoch <= proof.epoch:
        return heartbeat
    return replace(heartbeat, epoch=proof.epoch)


def _missing_proof(
    heartbeat: Heartbeat, proof: HostCredential | None, required: Switch | None
) -> ManManError | None:
    server_id, certified_as = heartbeat.server_id, heartbeat.certified_as
    if certified_as.server_id:
        is_own = certified_as.server_id == server_id
        return None if is_own else CertificateMismatch(certified_as.server_id, server_id)
    if not required or (proof and required is Switch.CREDENTIAL):
        return None
    return _PROOFS[required](server_id)


def _invalid_field(heartbeat: Heartbeat) -> InvalidField | None:
    if heartbeat.epoch < 0:
        return InvalidField("epoch", "must not be negative")
    if heartbeat.capabilities:
        try:
            check_capabilities(heartbeat.capabilities)
        except InvalidField as error:
            return error
    return None
