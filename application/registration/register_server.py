import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from application.access.authenticate_host import AuthenticateHost, KeyRefusal, find_join_key
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
    NO_GRANT,
    Grant,
    JoinWithKey,
    RejoinWithCredential,
)
from domain.approval import Approval, ApprovalPolicy
from domain.capabilities import Capabilities, check_capabilities
from domain.enforcement import Mode, Switch
from domain.errors import InvalidRegistrationKey, JoinKeyRefused, NameInUse, NotAdmitted
from domain.events import Event, EventKind, registration_events
from domain.host_credential import HostCredential
from domain.keys import PlaintextKey
from domain.labels import check_labels
from domain.liveness import online_presence
from domain.machine_evidence import (
    NO_EVIDENCE,
    Evidence,
    Identity,
    Match,
    check_evidence,
    compare,
    matches_ban,
)
from domain.naming import check_environment, check_name
from domain.registration_rules import DEFAULT_RULES, RegistrationRules
from domain.server import Server
from domain.spiffe import NOT_CERTIFIED, Certified

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Registration:
    """`labels` of None keeps those that are stored; `address` is from where the host calls."""

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
    """`config_revision` is what the host may fetch: 0 while it waits to be approved. `certificate`
    is in PEM, empty where none was asked for or none are issued."""

    server: Server
    next_heartbeat: timedelta
    config_revision: int
    credential: str = field(default="", repr=False)
    certificate: str = ""


@dataclass(frozen=True)
class RegisterServer:
    """A host joins the fleet: the same name always gets the same server, unless the evidence says
    that another machine claims it. With the credential or the certificate of a server it gets that
    one again, whatever became of its key.

    Raises InvalidRegistrationKey before anything else, as it does JoinKeyRefused of a revoked key,
    then InvalidField, then JoinKeyRefused, NotAdmitted and NameInUse.
    """

    store: Store
    clock: Clock
    heartbeat_interval: HeartbeatInterval
    authenticate_host: AuthenticateHost
    via: str = ""
    rules: RegistrationRules = DEFAULT_RULES
    # None issues none.
    certificates: Certificates | None = None

    def __call__(self, registration: Registration) -> Registered:
        own = self.authenticate_host.proof_of_identity(
            registration.credential, registration.certified_as
        )
        shown: PlaintextKey | KeyRefusal | None
        try:
            shown = self.authenticate_host(registration.registration_key)
        except InvalidRegistrationKey as error:
            if own is None:
                raise
            shown = error
        if not shown:
            self._check(registration)
        interval = self.heartbeat_interval.interval
        with self.store.begin() as transaction:
            with_key, joining = registration, None
            if shown:
                with_key, joining = self._joining(transaction, registration, shown, own)
            outcome = self._join(transaction, registration, with_key, interval, joining)
        # Raised only now: what was noted of a refusal is to stay.
        if isinstance(outcome, NameInUse | NotAdmitted):
            raise outcome
        told = self.rules.revision_for_host(outcome.config_revision, outcome.approval)
        credential = self.authenticate_host.issue_credential(outcome)
        certificate = self._certificate(outcome, registration.signing_request)
        return Registered(outcome, interval, told, credential, certificate)

    def _joining(
        self,
        transaction: Transaction,
        registration: Registration,
        shown: PlaintextKey | KeyRefusal,
        own: HostCredential | None,
    ) -> tuple[Registration, "_Joining"]:
        """How the host joins, by a key or by a credential, and with what the key says of it."""
        try:
            if not isinstance(shown, PlaintextKey):
                raise shown
            key = find_join_key(transaction, shown)
            self._check(registration)
            with_key = replace(
                registration,
                environment=registration.environment or key.environment,
                ephemeral=registration.ephemeral or key.ephemeral,
            )
            by_key = JoinWithKey(transaction, key, with_key.name, with_key.environment)
            by_key.check_scope(self.clock.now())
        except (InvalidRegistrationKey, JoinKeyRefused) as refusal:
            if own is None:
                raise
            self._check(registration)
            again = RejoinWithCredential(transaction, own, registration.evidence, refusal)
            return registration, again
        if own is None:
            return with_key, by_key
        return with_key, RejoinWithCredential(transaction, own, registration.evidence, by_key)

    def _certificate(self, server: Server, signing_request: bytes) -> str:
        if not (self.certificates and signing_request):
            return ""
        try:
            return self.certificates.of_server(server.server_id, server.epoch, signing_request)
        except AuthorityExpired as error:
            # No reason to keep a host out, which has joined.
            _log.error("no certificate was issued for server %d: %s", server.server_id, error)
            return ""

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
        with_key: Registration,
        interval: timedelta,
        joining: "_Joining",
    ) -> Server | NameInUse | NotAdmitted:
        # Held before the server is locked, as everywhere.
        last_revision = transaction.configuration_clock.hold()
        claimed = self._claim(transaction, with_key)
        if isinstance(claimed, NameInUse | NotAdmitted):
            if joining:
                joining.check_refused(claimed, self.clock.now())
            return claimed
        server = claimed.server
        granted = NO_GRANT
        if joining:
            granted = joining.record(claimed, registration.address, self.clock.now())
        if not granted.is_by_credential:
            registration = with_key
        # The time is read behind the locks: who waited for them long must not be offline at once.
        now = self.clock.now()
        joined = server.registered(
            registration.environment,
            registration.capabilities,
            online_presence(now, interval, self.via),
            keeps_epoch=claimed.keeps_epoch,
        )
        joined = replace(
            joined,
            ephemeral=registration.ephemeral or (granted.is_by_credential and server.ephemeral),
            approval=self._approval(joined, claimed, granted),
        )
        transaction.servers.save(joined)
        self._keep_identity(transaction, claimed, registration)
        relabelled = registration.labels is not None and transaction.labels.set_host_labels(
            joined.server_id, registration.labels
        )
        if registration.capabilities:
            transaction.capability_reports.record(
                {joined.server_id: registration.capabilities}, now
            )
        if granted.labels:
            relabelled |= _label(transaction, server, granted.labels)
        events = [
            *claimed.events,
            *registration_events(server, now, registration.address, granted.key_id),
            *_events_of_grant(server, joined.approval, granted, now),
        ]
        transaction.outbox.add(events)
        if claimed.is_new:
            configure_new_server(transaction, joined.server_id, last_revision)
        elif relabelled:
            configure_relabelled(transaction, joined, last_revision, now)
        return transaction.servers.get(joined.server_id)

    def _claim(
        self, transaction: Transaction, registration: Registration
    ) -> Claimed | NameInUse | NotAdmitted:
        banned = self._banned(transaction, registration)
        if banned:
            return banned
        claim_name = ClaimName(transaction, self.clock, self.rules)
        claimant = Identity(registration.evidence, 0, registration.address, self.clock.now())
        claimed = claim_name(registration.name, registration.environment, claimant)
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
                if self._holds(transaction, Switch.BAN, ban.server_id, registration.name, error):
                    return error
        return None

    def _refused(self, transaction: Transaction, server: Server) -> NotAdmitted | None:
        if server.approval.admits:
            return None
        error = not_admitted(server)
        holds = self._holds(transaction, Switch.BAN, server.server_id, server.name, error)
        return error if holds else None

    def _holds(
        self, transaction: Transaction, switch: Switch, server_id: int, name: str, error: Exception
    ) -> bool:
        mode = self.rules.enforcement.of(switch)
        if mode is Mode.WARN:
            transaction.dry_run_refusals.record(
                switch, server_id, name, str(error), self.clock.now()
            )
        return mode is Mode.ENFORCE

    def _approval(self, server: Server, claimed: Claimed, granted: Grant) -> Approval:
        """A machine is approved, not a name: who takes a server over waits again."""
        if granted.approves:
            # Whom an operator refused, an operator alone lets in.
            waits = server.approval is Approval.PENDING
            return Approval.APPROVED if waits else server.approval
        manual = self.rules.approval_policy is ApprovalPolicy.MANUAL
        is_new_machine = claimed.is_new or claimed.is_taken_over
        return Approval.PENDING if is_new_machine and manual else server.approval

    def _keep_identity(
        self, transaction: Transaction, claimed: Claimed, registration: Registration
    ) -> None:
        server_id = claimed.server.server_id
        known = transaction.identities.get(server_id)
        # Who says nothing of itself does not make forgotten what another said.
        evidence = registration.evidence or known.evidence
        machine = known.machine
        if registration.evidence:
            machine = _machine(transaction, claimed, known, evidence)
        transaction.identities.save(
            server_id, Identity(evidence, machine, registration.address, self.clock.now())
        )


# None where what is configured lets everybody in, or the key that was shown.
_Joining = JoinWithKey | RejoinWithCredential | None


def _label(transaction: Transaction, server: Server, of_key: Mapping[str, str]) -> bool:
    """Whether any effective label changed."""
    labels = {**server.labels.of_operators, **of_key}
    check_labels(labels)
    return transaction.labels.set_operator_labels(server.server_id, labels)


def _events_of_grant(
    before: Server, approval: Approval, granted: Grant, now: datetime
) -> Iterator[Event]:
    """What it tells that a server that registers is approved or not now, and labelled."""
    if approval is Approval.PENDING and before.approval is not Approval.PENDING:
        cause = "it waits for an operator, because REGISTRATION_APPROVAL is manual"
        yield Event(EventKind.PENDING, before.server_id, now, cause)
    if approval is Approval.APPROVED and before.approval is Approval.PENDING:
        cause = f"the join key {granted.key_id} is pre-approved"
        yield Event(EventKind.APPROVED, before.server_id, now, cause)
    if granted.labels:
        said = " and ".join(f"{key}={value}" for key, value in sorted(granted.labels.items()))
        cause = f"the join key {granted.key_id} set {said}"
        yield Event(EventKind.LABELLED, before.server_id, now, cause)


def _machine(
    transaction: Transaction, claimed: Claimed, known: Identity, evidence: Evidence
) -> int:
    """The number of the machine that the server is on: the id of its first server, or one of its
    own where that server was another machine's before. No machine ever gets another one's."""
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
