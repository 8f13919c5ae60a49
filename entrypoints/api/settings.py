from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from adapters.oidc.url import checked_url
from domain.approval import ApprovalPolicy
from domain.enforcement import ENFORCE_ALL, Enforcement, Mode, Switch
from domain.machine_evidence import NamePolicy
from domain.operator_token import ROLES_BY_NAME, ClaimRules
from domain.registration_rules import RegistrationRules
from domain.retention import Retention
from domain.role import Role
from domain.spiffe import DEFAULT_TRUST_DOMAIN, is_trust_domain
from entrypoints.failures import ConfigurationError
from entrypoints.settings import (
    Secret,
    ServiceSettings,
    bearer_token,
    boolean,
    broker_url,
    choice,
    file_path,
    host_and_port,
    host_and_port_or_off,
    integer,
    registration_keys_in,
    secret,
    setting,
    url_without_secrets,
)

IN_MEMORY = "memory://"
METRICS_ADDRESS = "127.0.0.1:9090"


class StoreKind(StrEnum):
    MEMORY = "memory"
    SQL = "sql"


class MessagesKind(StrEnum):
    MEMORY = "memory"
    AMQP = "amqp"


def _broker_or_memory(text: str) -> Secret:
    return Secret(text) if text == IN_MEMORY else broker_url(text)


def _enforcement(text: str) -> Enforcement:
    modes: dict[Switch, Mode] = {}
    for part in text.split(","):
        name, _, mode = part.strip().partition("=")
        if name.strip() in modes:
            raise ValueError(f"names {name.strip()} more than once: leave one of them out")
        try:
            modes[Switch(name.strip())] = Mode(mode.strip())
        except ValueError:
            raise ValueError(
                f"has {part.strip()!r}, must be SWITCH=MODE,… with the switches"
                f" {', '.join(Switch)} and the modes {', '.join(Mode)}"
            ) from None
    return Enforcement(modes)


def _trust_domain(text: str) -> str:
    if not is_trust_domain(text):
        raise ValueError("must be lower-case letters, digits, dots, dashes and underscores")
    return text


def _issuer(text: str) -> str:
    if "?" in text:
        raise ValueError("must be without a ?, as iss in tokens is")
    return checked_url(text)


def _roles(text: str) -> Mapping[str, Role]:
    roles: dict[str, Role] = {}
    for part in text.split(","):
        # Of a name in a directory, as CN=admins, the last one counts.
        value, _, role = (each.strip() for each in part.rpartition("="))
        if value in roles:
            raise ValueError(f"names {value} more than once: leave one of them out")
        if not value or role not in list(Role):
            raise ValueError(
                f"has {part.strip()!r}, must be VALUE=ROLE,… with the roles {', '.join(Role)}"
            )
        roles[value] = Role(role)
    return roles


def _shown_roles(roles: Mapping[str, Role] | None) -> str:
    return ",".join(f"{value}={role}" for value, role in (roles or {}).items())


@dataclass(frozen=True, kw_only=True)
class ApiSettings(ServiceSettings):
    # A secret, because the URL mostly holds a password.
    database_url: Secret = setting(
        Secret("sqlite:///manmanv2.sqlite3"),
        "memory://, sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE",
        secret,
        aliases=("PG_DATABASE_URL",),
        show=lambda url: url_without_secrets(url.reveal()),
    )
    listen_address: str = setting(
        "127.0.0.1:50051",
        "HOST:PORT to serve gRPC on; port 0 takes a free one",
        host_and_port(least_port=0),
    )
    # A secret for the same reason.
    rabbitmq_url: Secret = setting(
        Secret(IN_MEMORY),
        "amqp://USER:PASSWORD@HOST/VHOST or amqps://…, where events go and hosts may send to;"
        " memory:// does without",
        _broker_or_memory,
        in_file=True,
        show=lambda url: url_without_secrets(url.reveal()),
    )
    rabbitmq_ca_cert_path: Path | None = setting(
        None, "the CA of the broker's certificate, when it is none that the machine trusts", Path
    )
    tls_cert_path: Path | None = setting(
        None,
        "the API's certificate in PEM, followed by those of the CAs between: with it TLS alone is"
        " spoken, 1.2 and up; read again when it changes",
        file_path,
    )
    tls_key_path: Path | None = setting(
        None, "the key of that certificate, in PEM and without a password", file_path
    )
    ca_cert_path: Path | None = setting(
        None,
        "the certificate of the authority that issues certificates of hosts and operators, in PEM,"
        " as `manmanv2 ca init` makes it; others behind it are trusted, too",
        Path,
    )
    ca_key_path: Path | None = setting(
        None, "the key of that authority, in PEM and without a password", Path
    )
    mtls_listen_address: str = setting(
        "",
        "HOST:PORT to serve those on who show such a certificate; when not set, the port after that"
        " of LISTEN_ADDRESS",
        host_and_port(),
    )
    trust_domain: str = setting(
        DEFAULT_TRUST_DOMAIN,
        "what certificates are for begins with it: spiffe://TRUST_DOMAIN/server/ID",
        _trust_domain,
    )
    host_certificate_lifetime_seconds: int = setting(
        86400,
        "how long a host's certificate is good; it gets another after half of that",
        integer(60, 10 * 365 * 86400),
    )
    metrics_address: str = setting(
        METRICS_ADDRESS,
        "HOST:PORT to serve /metrics, /healthz and /readyz on over HTTP; off does without",
        host_and_port_or_off,
        show=lambda address: address or "off",
    )
    api_workers: int = setting(1, "processes that share the port", integer(1, 64))
    registration_key: Secret | None = setting(
        None,
        "what a host must show to join; without it everybody may join; the file may hold several,"
        " one a line, and is read again when it changes",
        secret,
        parse_file=registration_keys_in,
    )
    registration_key_required: bool = setting(
        False,
        "true lets nobody join without a key: where no REGISTRATION_KEY is set, hosts need a join"
        " key, which `manmanv2 keys create` makes",
        boolean,
    )
    operator_key: Secret | None = setting(
        None,
        "the key of whoever may do everything, sent as a bearer token; without it, without a key"
        " of an admin and without OIDC_ISSUER, operators' calls are answered on this machine only",
        bearer_token,
    )
    oidc_issuer: str = setting(
        "",
        "https://… of an OIDC provider, as its tokens have it in iss: operators may send these as"
        " bearer tokens, and nobody gets in without a key or a token",
        _issuer,
    )
    oidc_audience: str = setting("", "whom tokens must be for, as they have it in aud")
    oidc_jwks_url: str = setting(
        "",
        "https://… of the provider's keys; without it the provider is asked where they are",
        checked_url,
    )
    oidc_ca_cert_path: Path | None = setting(
        None, "the CA of the provider's certificate, when it is none that the machine trusts", Path
    )
    oidc_role_claim: str = setting(
        "role",
        "the claim that says what an operator may do, a text or a list; with dots one that lies"
        " within others, as realm_access.roles",
    )
    oidc_roles: Mapping[str, Role] | None = setting(
        None,
        "VALUE=ROLE,…: which values of that claim stand for viewer, operator and admin, without it"
        " these words themselves; of several the highest counts",
        _roles,
        show=_shown_roles,
    )
    oidc_name_claim: str = setting(
        "sub", "the claim that says who it is, for the audit; one that users cannot set themselves"
    )
    heartbeat_interval_seconds: int = setting(
        15, "how often hosts beat; offline after three of them", integer(1, 3600)
    )
    max_heartbeats_per_second: int = setting(
        2000,
        "a fleet that would beat faster is told a longer interval",
        integer(1, 1_000_000),
    )
    max_registrations_per_second: int = setting(
        500,
        "registrations, fetches of configuration and farewells with one and the same key of hosts,"
        " in each process; five seconds' worth may come at once, and what is above is tried again",
        integer(1, 1_000_000),
    )
    max_operator_calls_per_second: int = setting(
        200,
        "calls of operators with one and the same key, counted as those of hosts are",
        integer(1, 1_000_000),
    )
    max_unauthenticated_calls_per_second: int = setting(
        20,
        "calls without a key that is known, of hosts and of operators, from one and the same"
        " address, counted as the others are",
        integer(1, 1_000_000),
        old_names=("MAX_WRONG_KEYS_PER_SECOND",),
    )
    max_connections: int = setting(
        15_000,
        "connections to one process at a time; one more is closed, those that are open go on",
        integer(1, 1_000_000),
    )
    name_conflict_policy: str = setting(
        NamePolicy.REJECT,
        "what happens when another machine claims the name of one that is alive: reject refuses"
        " it, takeover gives it the server and tells the other to stop, allow lets both have it",
        choice(*NamePolicy),
    )
    registration_approval: str = setting(
        ApprovalPolicy.AUTO,
        "auto, or manual: new servers wait for an operator's approval, without configuration",
        choice(*ApprovalPolicy),
    )
    enforcement: Enforcement = setting(
        ENFORCE_ALL,
        "SWITCH=MODE,…: off or warn instead of enforce, for name-conflict, epoch, approval, ban and"
        " delete-online, or warn or enforce instead of off, for credential and certificate; what"
        " warn lets through is listed by `manmanv2 audit dry-run`",
        _enforcement,
        show=str,
    )
    host_credential_lifetime_seconds: int = setting(
        30 * 86400,
        "how long a host's own credential is good; it gets another after half of that",
        integer(60, 10 * 365 * 86400),
    )
    ephemeral_retention_seconds: int = setting(
        86400,
        "after how long offline an ephemeral server is deleted",
        integer(1, 10 * 365 * 86400),
    )
    deleted_retention_days: int = setting(
        30,
        "how long a deleted server can be restored; 0 deletes for good",
        integer(0, 3650),
    )
    audit_retention_days: int = setting(
        0,
        "how long `manmanv2 audit list` knows what operators did; 0 keeps it for ever",
        integer(0, 3650),
    )
    grpc_reflection: bool = setting(False, "true lets clients list the API's methods", boolean)

    @property
    def registration_rules(self) -> RegistrationRules:
        return RegistrationRules(
            NamePolicy(self.name_conflict_policy),
            ApprovalPolicy(self.registration_approval),
            self.enforcement,
        )

    @property
    def retention(self) -> Retention:
        return Retention(
            ephemeral=timedelta(seconds=self.ephemeral_retention_seconds),
            deleted=timedelta(days=self.deleted_retention_days),
            audit=timedelta(days=self.audit_retention_days) or None,
        )

    @property
    def heartbeat_interval(self) -> timedelta:
        return timedelta(seconds=self.heartbeat_interval_seconds)

    @property
    def shares_port(self) -> bool:
        """Whether several processes listen on the same port."""
        return self.api_workers > 1

    @property
    def host_credential_lifetime(self) -> timedelta:
        return timedelta(seconds=self.host_credential_lifetime_seconds)

    @property
    def store_kind(self) -> StoreKind:
        in_memory = self.database_url.reveal() == IN_MEMORY
        return StoreKind.MEMORY if in_memory else StoreKind.SQL

    @property
    def messages_kind(self) -> MessagesKind:
        in_memory = self.rabbitmq_url.reveal() == IN_MEMORY
        return MessagesKind.MEMORY if in_memory else MessagesKind.AMQP

    @property
    def events_held_back(self) -> timedelta:
        """How long events wait before this process takes them away without a broker.

        Other processes on the same database may have one.
        """
        alone = self.store_kind is StoreKind.MEMORY or self.messages_kind is MessagesKind.AMQP
        return timedelta(0) if alone else timedelta(hours=1)

    @property
    def claim_rules(self) -> ClaimRules:
        roles = self.oidc_roles or ROLES_BY_NAME
        return ClaimRules(self.oidc_name_claim, self.oidc_role_claim, roles)

    @property
    def speaks_tls(self) -> bool:
        return self.tls_cert_path is not None

    @property
    def mutual_tls_address(self) -> str:
        """Where callers show a certificate, empty where none are issued."""
        if self.ca_cert_path is None:
            return ""
        host, _, port = self.listen_address.rpartition(":")
        return self.mtls_listen_address or f"{host}:{int(port) + 1}"

    @property
    def mutual_tls_port(self) -> int:
        return int(self.mutual_tls_address.rpartition(":")[2] or 0)

    @property
    def host_certificate_lifetime(self) -> timedelta:
        return timedelta(seconds=self.host_certificate_lifetime_seconds)

    def check(self, given: Collection[str]) -> None:
        _check_both("TLS_CERT_PATH", self.tls_cert_path, "TLS_KEY_PATH", self.tls_key_path)
        _check_both("CA_CERT_PATH", self.ca_cert_path, "CA_KEY_PATH", self.ca_key_path)
        self._check_certificates(given)
        self._check_oidc(given)
        if self.store_kind is StoreKind.SQL:
            from adapters.sql.engine import sql_url

            try:
                sql_url(self.database_url.reveal())
            except ValueError as error:
                raise ConfigurationError(f"DATABASE_URL: {error}.") from None
        if self.host_credential_lifetime_seconds < 4 * self.heartbeat_interval_seconds:
            raise ConfigurationError(
                f"HOST_CREDENTIAL_LIFETIME_SECONDS is {self.host_credential_lifetime_seconds}, but"
                " a credential is renewed by a heartbeat: set it to four times"
                " HEARTBEAT_INTERVAL_SECONDS or more."
            )
        if self.api_workers > 1 and self.store_kind is StoreKind.MEMORY:
            raise ConfigurationError(
                f"API_WORKERS is {self.api_workers}, but processes cannot share"
                f" DATABASE_URL={IN_MEMORY}: set it to 1."
            )
        if self.api_workers > 1 and self.listen_address.endswith(":0"):
            raise ConfigurationError(
                f"API_WORKERS is {self.api_workers}, but processes cannot share port 0: name"
                " another in LISTEN_ADDRESS."
            )

    def _check_oidc(self, given: Collection[str]) -> None:
        others = sorted(name.upper() for name in given if name.startswith("oidc_"))
        if others and not self.oidc_issuer:
            raise ConfigurationError(
                f"OIDC_ISSUER: must be set, because {others[0]} is; unset {', '.join(others)} to"
                " take no tokens."
            )
        if self.oidc_issuer and not self.oidc_audience:
            raise ConfigurationError(
                "OIDC_AUDIENCE: must be set, because OIDC_ISSUER is: a token that is for another"
                " program must open nothing here."
            )
        if self.oidc_ca_cert_path and not f"{self.oidc_issuer} {self.oidc_jwks_url}".count("https"):
            raise ConfigurationError(
                "OIDC_CA_CERT_PATH: must not be set, because the provider has no certificate: its"
                " URL is http://."
            )

    def _check_certificates(self, given: Collection[str]) -> None:
        if self.ca_cert_path is None:
            for name in ("mtls_listen_address", "trust_domain"):
                if name in given:
                    raise ConfigurationError(
                        f"{name.upper()}: of no use without CA_CERT_PATH; set that, or unset this."
                    )
            if self.enforcement.of(Switch.CERTIFICATE) is not Mode.OFF:
                raise ConfigurationError(
                    "ENFORCEMENT asks for certificates of hosts, but none are issued: set"
                    " CA_CERT_PATH and CA_KEY_PATH, or leave certificate out."
                )
            return
        if self.tls_cert_path is None:
            raise ConfigurationError(
                "TLS_CERT_PATH: must be set, because CA_CERT_PATH is, and certificates are shown in"
                " TLS."
            )
        if not 1 <= self.mutual_tls_port <= 65535:
            raise ConfigurationError(
                "MTLS_LISTEN_ADDRESS: must be set, because there is no port after that of"
                f" LISTEN_ADDRESS, {self.listen_address}."
            )
        if self.mutual_tls_address == self.listen_address:
            raise ConfigurationError(
                f"MTLS_LISTEN_ADDRESS is LISTEN_ADDRESS, {self.listen_address}: set it to another."
            )
        if self.host_certificate_lifetime_seconds < 4 * self.heartbeat_interval_seconds:
            raise ConfigurationError(
                f"HOST_CERTIFICATE_LIFETIME_SECONDS is {self.host_certificate_lifetime_seconds},"
                " but a certificate is renewed between heartbeats: set it to four times"
                " HEARTBEAT_INTERVAL_SECONDS or more."
            )


def _check_both(name: str, value: object, other_name: str, other: object) -> None:
    if (value is None) is (other is None):
        return
    there, missing = (other_name, name) if value is None else (name, other_name)
    raise ConfigurationError(
        f"{missing}: must be set, because {there} is; unset both to do without."
    )
