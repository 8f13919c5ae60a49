import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from application.access.authenticate_host import AuthenticateHost, find_join_key
from application.access.certificates import Certificates
from application.access.refusals import not_admitted
from application.configuration.effective_configuration import (
    configure_new_server,
    configure_relabelled,
)
from application.liveness.heartbeat_interval import HeartbeatInterval
from application.ports.certificate_authority import AuthorityExpired
from application.ports.clock import Clock
from application.ports.store.store import Store, Transaction
from application.registration.claim_name import Claimed, ClaimName
from application.registration.join_decision import (
    Grant,
    JoinAttempt,
    JoinFreely,
    JoinWithKey,
    RefusedKey,
    RejoinWithCredential,
)
from application.registration.server_identity import record_identity
from domain.approval import Approval, ApprovalPolicy
from domain.capabilities import Capabilities, check_capabilities
from domain.enforcement import Mode, Switch
from domain.errors import InvalidRegistrationKey, JoinKeyRefused, NameInUse, NotAdmitted
from domain.events import Event, EventKind, registration_events
from domain.host_credential import HostCredential
from domain.keys import PlaintextKey
from domain.labels import check_labels
from domain.liveness import Presence, online_presence
from domain.machine_evidence import (
    NO_EVIDENCE,
    Evidence,
    Identity,
    check_evidence,
    matches_ban,
)
from domain.naming import check_environment, check_name
from domain.registration_rules import DEFAULT_RULES, RegistrationRules
from domain.server import Server
from domain.spiffe import NOT_CERTIFIED, Certified

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Registration:
    """`labels` of None keeps the stored ones. `address` is the one that the host calls from."""

    name: str
    environment: str = ""
    capabilities: Capabilities | None = None
    registration_key: str = field(default="", repr=False)
    evidence: Evidence = NO_EVIDENCE
    labels: Mapping[str, str] | None = None
    ephemeral: bool = False
    address: str = ""
    credential: str = field(default="", repr=False)
    certified_as: Certified = NOT_CERTIFIED
    signing_request: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Registered:
    """`config_revision` is the one that the host may fetch, 0 until the server is approved.
    `certificate` is in PEM; it is empty if the host requested none or the API issues none."""

    server: Server
    next_heartbeat: timedelta
    config_revision: int
    credential: str = field(default="", repr=False)
    certificate: str = ""


@dataclass(frozen=True)
class RegisterServer:
    """A host joins the fleet. The same name always gets the same server, unless the evidence shows
    that another machine claims it. A host with the credential or the certificate of a server gets
    this server again, whatever happened to its key.

    Raises InvalidRegistrationKey before anything else, as well as JoinKeyRefused for a revoked key,
    then InvalidField, then JoinKeyRefused, NotAdmitted and NameInUse.
    """

    store: Store
    clock: Clock
    heartbeat_interval: HeartbeatInterval
    authenticate_host: AuthenticateHost
    via: str = ""
    rules: RegistrationRules = DEFAULT_RULES
    # Without it no certificates are issued.
    certificates: Certificates | None = None

    def __call__(self, registration: Registration) -> Registered:
        proof = self.authenticate_host.proof_of_identity(
            registration.credential, registration.certified_as
        )
        key = self._presented_key(registration, proof)
        if key is None:
            self._check(registration)
        interval = self.heartbeat_interval.interval
        with self.store.begin() as transaction:
            attempt = self._attempt(transaction, registration, key, proof)
            outcome = self._join(transaction, registration, attempt, interval)
        # A refused name or machine is returned, and raised only here, because what is recorded
        # about the refusal must be committed.
        if isinstance(outcome, NameInUse | NotAdmitted):
            raise outcome
        return Registered(
            outcome,
            interval,
            self.rules.revision_for_host(outcome.config_revision, outcome.approval),
            self.authenticate_host.issue_credential(outcome),
            self._certificate(outcome, registration.signing_request),
        )

    def _presented_key(
        self, registration: Registration, proof: HostCredential | None
    ) -> PlaintextKey | RefusedKey | None:
        """Check the key as far as possible without the store. None if the configuration admits the
        host."""
        try:
            return self.authenticate_host(registration.registration_key)
        except InvalidRegistrationKey as refusal:
            if proof is None:
                raise
            return RefusedKey(registration.environment, refusal)

    def _attempt(
        self,
        transaction: Transaction,
        registration: Registration,
        key: PlaintextKey | RefusedKey | None,
        proof: HostCredential | None,
    ) -> JoinAttempt:
        if key is None:
            return JoinFreely(registration.environment)
        with_key: JoinWithKey | RefusedKey
        if isinstance(key, RefusedKey):
            with_key = key
        else:
            try:
                with_key = self._with_join_key(transaction, registration, key)
            except (InvalidRegistrationKey, JoinKeyRefused) as refusal:
                if proof is None:
                    raise
                with_key = RefusedKey(registration.environment, refusal)
        if proof is None:
            return with_key
        if isinstance(with_key, RefusedKey):
            self._check(registration)
        return RejoinWithCredential(transaction, proof, registration.evidence, with_key)

    def _with_join_key(
        self, transaction: Transaction, registration: Registration, key: PlaintextKey
    ) -> JoinWithKey:
        join_key = find_join_key(transaction, key)
        # Not checked earlier: a host that no key admits must not learn what else is wrong.
        self._check(registration)
        environment = registration.environment or join_key.environment
        attempt = JoinWithKey(transaction, join_key, registration.name, environment)
        attempt.check_scope(self.clock.now())
        return attempt

    def _check(self, registration: Registration) -> None:
        check_name(registration.name)
        check_environment(registration.environment)
        check_evidence(registration.evidence)
        check_labels(registration.labels or {})
        if registration.capabilities:
            check_capabilities(registration.capabilities)
        if self.certificates and registration.signing_request:
            self.certificates.check(registration.signing_request)

    def _join(
        self,
        transaction: Transaction,
        registration: Registration,
        attempt: JoinAttempt,
        interval: timedelta,
    ) -> Server | NameInUse | NotAdmitted:
        # Held before the server is locked, as in every transaction.
        last_revision = transaction.configuration_clock.hold()
        claimed = self._claim(transaction, registration, attempt.environment)
        if isinstance(claimed, NameInUse | NotAdmitted):
            attempt.check_may_learn(claimed, self.clock.now())
            return claimed
        grant = attempt.record(claimed, registration.address, self.clock.now())
        # The time is read while the locks are held: a host that waited long for them must not be
        # offline at once.
        now = self.clock.now()
        joined = self._joined(
            registration, claimed, grant, online_presence(now, interval, self.via)
        )
        transaction.servers.save(joined)
        record_identity(
            transaction, claimed, registration.evidence, registration.address, self.clock.now()
        )
        relabelled = registration.labels is not None and transaction.labels.set_host_labels(
            joined.server_id, registration.labels
        )
        if registration.capabilities:
            transaction.capability_reports.record(
                {joined.server_id: registration.capabilities}, now
            )
        if grant.labels:
            relabelled |= _add_labels(transaction, claimed.server, grant.labels)
        transaction.outbox.add(
            [
                *claimed.events,
                *registration_events(claimed.server, now, registration.address, grant.key_id),
                *_grant_events(claimed.server, joined.approval, grant, now),
            ]
        )
        if claimed.is_new:
            configure_new_server(transaction, joined.server_id, last_revision)
        elif relabelled:
            configure_relabelled(transaction, joined, last_revision, now)
        return transaction.servers.get(joined.server_id)

    def _joined(
        self, registration: Registration, claimed: Claimed, grant: Grant, presence: Presence
    ) -> Server:
        joined = claimed.server.registered(
            registration.environment or grant.environment,
            registration.capabilities,
            presence,
            keeps_epoch=claimed.keeps_epoch,
        )
        return replace(
            joined,
            ephemeral=registration.ephemeral or grant.ephemeral,
            approval=self._approval(joined.approval, claimed, grant),
        )

    def _approval(self, approval: Approval, claimed: Claimed, grant: Grant) -> Approval:
        """Machines are approved, not names: a machine that takes a server over waits again."""
        if grant.approves:
            # A server that an operator refuses can only be admitted by an operator.
            return Approval.APPROVED if approval is Approval.PENDING else approval
        manual = self.rules.approval_policy is ApprovalPolicy.MANUAL
        is_new_machine = claimed.is_new or claimed.is_taken_over
        return Approval.PENDING if is_new_machine and manual else approval

    def _claim(
        self, transaction: Transaction, registration: Registration, environment: str
    ) -> Claimed | NameInUse | NotAdmitted:
        banned = self._banned(transaction, registration)
        if banned:
            return banned
        claim_name = ClaimName(transaction, self.clock, self.rules)
        claimant = Identity(registration.evidence, 0, registration.address, self.clock.now())
        claimed = claim_name(registration.name, environment, claimant)
        if isinstance(claimed, NameInUse):
            return claimed
        return self._refused(transaction, claimed.server) or claimed

    def _banned(self, transaction: Transaction, registration: Registration) -> NotAdmitted | None:
        if not registration.evidence:
            return None
        for ban in transaction.bans.resembling(registration.evidence):
            if matches_ban(ban.evidence, registration.evidence):
                why = f"was banned by an operator, as server {ban.server_id} ({ban.name})"
                why = f"{why}: {ban.reason}" if ban.reason else why
                error = NotAdmitted("this machine", why, ban.server_id)
                if self._enforces_ban(transaction, ban.server_id, registration.name, error):
                    return error
        return None

    def _refused(self, transaction: Transaction, server: Server) -> NotAdmitted | None:
        if server.approval.admits:
            return None
        error = not_admitted(server)
        is_enforced = self._enforces_ban(transaction, server.server_id, server.name, error)
        return error if is_enforced else None

    def _enforces_ban(
        self, transaction: Transaction, server_id: int, name: str, error: NotAdmitted
    ) -> bool:
        mode = self.rules.enforcement.of(Switch.BAN)
        if mode is Mode.WARN:
            now = self.clock.now()
            transaction.dry_run_refusals.record(Switch.BAN, server_id, name, str(error), now)
        return mode is Mode.ENFORCE

    def _certificate(self, server: Server, signing_request: bytes) -> str:
        if not (self.certificates and signing_request):
            return ""
        try:
            return self.certificates.of_server(server.server_id, server.epoch, signing_request)
        except AuthorityExpired as error:
            # The host has joined: a missing certificate is no reason to refuse it.
            _log.error("no certificate was issued for server %d: %s", server.server_id, error)
            return ""


def _add_labels(transaction: Transaction, server: Server, labels: Mapping[str, str]) -> bool:
    """Add a key's labels to those of operators. Returns whether any effective label changed."""
    merged = {**server.labels.of_operators, **labels}
    check_labels(merged)
    return transaction.labels.set_operator_labels(server.server_id, merged)


def _grant_events(
    before: Server, approval: Approval, grant: Grant, now: datetime
) -> Iterator[Event]:
    """The events of a registration that changes the approval or gets labels of the key."""
    if approval is Approval.PENDING and before.approval is not Approval.PENDING:
        cause = "it waits for an operator, because REGISTRATION_APPROVAL is manual"
        yield Event(EventKind.PENDING, before.server_id, now, cause)
    if approval is Approval.APPROVED and before.approval is Approval.PENDING:
        cause = f"the join key {grant.key_id} is pre-approved"
        yield Event(EventKind.APPROVED, before.server_id, now, cause)
    if grant.labels:
        labels = " and ".join(f"{key}={value}" for key, value in sorted(grant.labels.items()))
        cause = f"the join key {grant.key_id} set {labels}"
        yield Event(EventKind.LABELLED, before.server_id, now, cause)
