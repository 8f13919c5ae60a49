from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from application.access.host_credentials import HostCredentials, proof_of_identity
from application.access.refusals import not_admitted, replaced
from application.liveness.heartbeat_intake import HeartbeatIntake
from application.liveness.heartbeat_interval import HeartbeatInterval
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
    ServerNotFound,
)
from domain.events import EventKind, status_events
from domain.host_credential import HostCredential
from domain.liveness import Status, offline_presence, online_presence
from domain.machine_evidence import UNKNOWN_IDENTITY
from domain.registration_rules import DEFAULT_RULES, RegistrationRules
from domain.server import Server
from domain.spiffe import NOT_CERTIFIED, Certified

# Of each batch: where a whole fleet has no credentials, later ones bring the others.
_MAX_RECORDED = 10

# What a heartbeat may have to show; who must show the first need not show the other.
_PROOFS: Mapping[Switch, Callable[[int], ManManError]] = {
    Switch.CERTIFICATE: CertificateRequired,
    Switch.CREDENTIAL: CredentialRequired,
}


# Unlike all others these two are not frozen: a frozen one takes four times as long to make.
@dataclass(slots=True)
class Heartbeat:
    """A host's word that it lives, or that it stops on purpose."""

    server_id: int
    capabilities: Capabilities | None = None
    leaving: bool = False
    # Of the registration that it speaks by; 0 where the host knows of none.
    epoch: int = 0
    credential: str = field(default="", repr=False)
    certified_as: Certified = NOT_CERTIFIED


@dataclass(slots=True)
class Acknowledged:
    """The heartbeat is durable. `credential` is one to be sent from now on, mostly none."""

    config_revision: int
    next_heartbeat: timedelta
    approval: Approval = Approval.APPROVED
    credential: str = field(default="", repr=False)


@dataclass(frozen=True)
class RecordHeartbeat:
    """Write a batch of heartbeats in one transaction; one heartbeat is a batch of one.

    The answers stand in the order of the batch. What is wrong with one heartbeat,
    CertificateMismatch, CertificateRequired and CredentialRequired before anything else,
    InvalidField, ServerNotFound, Replaced or NotAdmitted, is its answer and keeps no other from
    being written. Who took a server over and why an operator refuses it is told to who shows its
    credential or its certificate alone. Of several heartbeats of one server the last one counts,
    with the last capabilities that any of them reported.
    """

    store: Store
    clock: Clock
    heartbeat_interval: HeartbeatInterval
    heartbeat_intake: HeartbeatIntake
    via: str = ""
    rules: RegistrationRules = DEFAULT_RULES
    # None takes no credential for good.
    credentials: HostCredentials | None = None

    def __call__(self, batch: Sequence[Heartbeat]) -> list[Acknowledged | ManManError]:
        try:
            return self._record(batch)
        except Exception:
            self.heartbeat_intake.failed_batches += 1
            raise

    def _record(self, batch: Sequence[Heartbeat]) -> list[Acknowledged | ManManError]:
        # Before the transaction: to sign and to compare takes a moment of each.
        shown = self._credentials(batch)
        batch = list(map(_by_its_credential, batch, shown))
        required = self._required_proof()
        problems = [
            _unproven(heartbeat, credential, required) or _problem(heartbeat)
            for heartbeat, credential in zip(batch, shown, strict=True)
        ]
        good = [
            heartbeat for heartbeat, problem in zip(batch, problems, strict=True) if not problem
        ]
        newest = self._newest(good)
        leaving = {one.server_id: one.epoch for one in newest.values() if one.leaving}
        staying = {one.server_id: one.epoch for one in newest.values() if not one.leaving}
        interval = self.heartbeat_interval.interval
        with self.store.begin() as transaction:
            presences = transaction.presences
            if leaving:
                # Two groups that are locked one after the other could meet those of another
                # batch the other way round.
                presences.lock(newest.keys())
            now = self.clock.now()
            include_refused = not self.rules.enforces(Switch.BAN)
            heard_from = presences.set(
                staying, online_presence(now, interval, self.via), include_refused=include_refused
            )
            left_by = presences.set(leaving, offline_presence(now), include_refused=include_refused)
            known = {**heard_from, **left_by}
            transaction.capability_reports.record(self._reports(good, known), now)
            transaction.outbox.add(
                [
                    event
                    for before, status, cause in (
                        (heard_from, Status.ONLINE, "its host was heard again"),
                        (left_by, Status.OFFLINE, "its host said that it stops"),
                    )
                    for server_id, server in before.items()
                    for event in status_events(server_id, server.status, status, now, cause)
                ]
            )
            proven = {credential.server_id for credential in shown if credential}
            refusals = self._refusals(transaction, good, known, proven, now)
            self._note_unproven(transaction, batch, shown, known, now)
        return [
            problem
            or (
                refusal.told_to(credential)
                if (refusal := refusals.get((heartbeat.server_id, heartbeat.epoch)))
                else self._acknowledged(known[heartbeat.server_id], interval, credential)
            )
            for heartbeat, problem, credential in zip(batch, problems, shown, strict=True)
        ]

    def _credentials(self, batch: Sequence[Heartbeat]) -> Sequence[HostCredential | None]:
        """That of each heartbeat, if it is a good one of the server that it speaks for."""
        shown = [
            proof_of_identity(self.credentials, one.credential, one.certified_as) for one in batch
        ]
        return [
            credential if credential and credential.server_id == heartbeat.server_id else None
            for heartbeat, credential in zip(batch, shown, strict=True)
        ]

    def _required_proof(self) -> Switch | None:
        return next((switch for switch in _PROOFS if self.rules.enforces(switch)), None)

    def _note_unproven(
        self,
        transaction: Transaction,
        batch: Sequence[Heartbeat],
        shown: Sequence[HostCredential | None],
        known: Mapping[int, Known],
        now: datetime,
    ) -> None:
        for switch, required in _PROOFS.items():
            if self.rules.enforcement.of(switch) is not Mode.WARN:
                continue
            unproven = dict.fromkeys(
                heartbeat.server_id
                for heartbeat, credential in zip(batch, shown, strict=True)
                if not (
                    heartbeat.certified_as.server_id or (credential and switch is Switch.CREDENTIAL)
                )
                and heartbeat.server_id in known
            )
            for server_id in sorted(islice(unproven, _MAX_RECORDED)):
                name = transaction.servers.get(server_id).name
                error = required(server_id)
                transaction.dry_run_refusals.record(switch, server_id, name, str(error), now)

    def _newest(self, heartbeats: Sequence[Heartbeat]) -> Mapping[int, Heartbeat]:
        """Of each server the last heartbeat of its newest epoch."""
        minds_epochs = self.rules.enforces(Switch.EPOCH)
        newest: dict[int, Heartbeat] = {}
        for heartbeat in heartbeats:
            server_id = heartbeat.server_id
            before = newest.get(server_id)
            if not minds_epochs:
                newest[server_id] = replace(heartbeat, epoch=0) if heartbeat.epoch else heartbeat
            elif before is None or not 0 < heartbeat.epoch < before.epoch:
                newest[server_id] = heartbeat
        return newest

    def _reports(
        self, heartbeats: Sequence[Heartbeat], known: Mapping[int, Known]
    ) -> Mapping[int, Capabilities]:
        minds_epochs = self.rules.enforces(Switch.EPOCH)
        return {
            heartbeat.server_id: heartbeat.capabilities
            for heartbeat in heartbeats
            if heartbeat.capabilities
            and heartbeat.server_id in known
            and not (minds_epochs and 0 < heartbeat.epoch < known[heartbeat.server_id].epoch)
        }

    def _refusals(
        self,
        transaction: Transaction,
        heartbeats: Sequence[Heartbeat],
        known: Mapping[int, Known],
        proven: Collection[int],
        now: datetime,
    ) -> Mapping[tuple[int, int], "_Refusal"]:
        """By server and epoch; nearly always none, at no cost."""
        odd = {
            (heartbeat.server_id, heartbeat.epoch)
            for heartbeat in heartbeats
            if not (server := known.get(heartbeat.server_id)) or not server.accepts(heartbeat.epoch)
        }
        if not odd:
            return {}
        # Not locked: behind those that are, this could meet another batch the other way round.
        there = transaction.presences.known({server_id for server_id, _ in odd})
        refusals: dict[tuple[int, int], _Refusal] = {}
        for server_id, epoch in sorted(odd):
            try:
                if server_id not in there:
                    raise ServerNotFound(server_id)
                record = transaction.servers.get(server_id)
            except ServerNotFound as missing:
                refusals[server_id, epoch] = _Refusal(0, missing, missing)
                continue
            is_set = server_id in known
            switch, refusal = self._refusal(transaction, record, is_set=is_set)
            if server_id in proven:
                refusal = replace(refusal, taken_over_at=_taken_over_at(transaction, server_id))
            mode = self.rules.enforcement.of(switch)
            if mode is Mode.ENFORCE or not is_set:
                refusals[server_id, epoch] = refusal
            elif mode is Mode.WARN:
                said = str(refusal.to_its_host)
                transaction.dry_run_refusals.record(switch, server_id, record.name, said, now)
        return refusals

    def _refusal(
        self, transaction: Transaction, server: Server, *, is_set: bool
    ) -> tuple[Switch, "_Refusal"]:
        # Where that lets it through, its epoch is what was in the way.
        if not server.approval.admits and (is_set or self.rules.enforces(Switch.BAN)):
            # Who registers again is told, if a key lets it in.
            unseen = ServerNotFound(server.server_id)
            return Switch.BAN, _Refusal(server.epoch, not_admitted(server), unseen)
        by = transaction.identities.get(server.server_id)
        return Switch.EPOCH, _Refusal(
            server.epoch, replaced(server, by), replaced(server, UNKNOWN_IDENTITY)
        )

    def _acknowledged(
        self, server: Known, interval: timedelta, credential: HostCredential | None
    ) -> Acknowledged:
        told = self.rules.revision_for_host(server.config_revision, server.approval)
        renewed = ""
        if self.credentials and credential:
            renewed = self.credentials.renewed(credential)
        return Acknowledged(told, interval, server.approval, renewed)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What who shows the credential of the server is told, and who does not: an id is easily
    guessed. One from before another machine took it over does not count."""

    # Of the server.
    epoch: int
    to_its_host: ManManError
    to_others: ManManError
    taken_over_at: datetime | None = None

    def told_to(self, credential: HostCredential | None) -> ManManError:
        if not credential or self._is_from_before(credential):
            return self.to_others
        return self.to_its_host

    def _is_from_before(self, credential: HostCredential) -> bool:
        # Times alone do not tell: those in a credential are whole seconds.
        return (
            credential.epoch < self.epoch
            and self.taken_over_at is not None
            and credential.issued_at <= self.taken_over_at
        )


def _taken_over_at(transaction: Transaction, server_id: int) -> datetime | None:
    history = transaction.history.of(server_id)
    return max((one.at for one in history if one.kind is EventKind.TAKEN_OVER), default=None)


def _by_its_credential(heartbeat: Heartbeat, credential: HostCredential | None) -> Heartbeat:
    """Spoken by the registration that the credential is of, where it says a later one or none: a
    credential does not get better by that."""
    if not credential or not credential.epoch or 0 != heartbeat.epoch <= credential.epoch:
        return heartbeat
    return replace(heartbeat, epoch=credential.epoch)


def _unproven(
    heartbeat: Heartbeat, credential: HostCredential | None, required: Switch | None
) -> ManManError | None:
    server_id, certified_as = heartbeat.server_id, heartbeat.certified_as
    if certified_as.server_id:
        is_own = certified_as.server_id == server_id
        return None if is_own else CertificateMismatch(certified_as.server_id, server_id)
    if not required or (credential and required is Switch.CREDENTIAL):
        return None
    return _PROOFS[required](server_id)


def _problem(heartbeat: Heartbeat) -> InvalidField | None:
    if heartbeat.epoch < 0:
        return InvalidField("epoch", "must not be negative")
    if heartbeat.capabilities:
        try:
            check_capabilities(heartbeat.capabilities)
        except InvalidField as error:
            return error
    return None
