from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from adapters.oidc.url import checked_url
from application.ports.diagnosis import InvalidValue
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
DEFAULT_METRICS_ADDRESS = "127.0.0.1:9090"


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
            raise InvalidValue(f"sets {name.strip()} more than once", "remove all but one")
        try:
            modes[Switch(name.strip())] = Mode(mode.strip())
        except ValueError:
            raise ValueError(
                f"contains {part.strip()!r}, but must be SWITCH=MODE,… with the switches"
                f" {', '.join(Switch)} and the modes {', '.join(Mode)}"
            ) from None
    return Enforcement(modes)


def _trust_domain(text: str) -> str:
    if not is_trust_domain(text):
        raise ValueError("must consist of lower-case letters, digits, dots, dashes and underscores")
    return text


def _issuer(text: str) -> str:
    if "?" in text:
        raise ValueError("must not contain a ?, because the iss claim of tokens has none")
    return checked_url(text)


def _roles(text: str) -> Mapping[str, Role]:
    roles: dict[str, Role] = {}
    for part in text.split(","):
        # A value may itself contain an equals sign, for example CN=admins.
        value, _, role = (each.strip() for each in part.rpartition("="))
        if value in roles:
            raise InvalidValue(f"sets {value} more than once", "remove all but one")
        if not value or role not in list(Role):
            raise ValueError(
                f"contains {part.strip()!r}, but must be VALUE=ROLE,… with the roles"
                f" {', '.join(Role)}"
            )
        roles[value] = Role(role)
    return roles


def _roles_text(roles: Mapping[str, Role] | None) -> str:
    return ",".join(f"{value}={role}" for value, role in (roles or {}).items())


@dataclass(frozen=True, kw_only=True)
class ApiSettings(ServiceSettings):
    # A secret, because the URL usually contains a password.
    database_url: Secret = setting(
        Secret("sqlite:///manmanv2.sqlite3"),
        "URL of the database: postgresql://USER:PASSWORD@HOST/DATABASE, sqlite:///FILE or memory://",
        secret,
        aliases=("PG_DATABASE_URL",),
        show=lambda url: url_without_secrets(url.reveal()),
    )
    listen_address: str = setting(
        "127.0.0.1:50051",
        "Listen address for gRPC (HOST:PORT). Port 0 means any free port",
        host_and_port(min_port=0),
    )
    # A secret for the same reason.
    rabbitmq_url: Secret = setting(
        Secret(IN_MEMORY),
        "URL of the RabbitMQ broker for events and for hosts that use AMQP:"
        " amqp://USER:PASSWORD@HOST/VHOST, amqps:// for TLS, or memory:// for no broker",
        _broker_or_memory,
        in_file=True,
        show=lambda url: url_without_secrets(url.reveal()),
    )
    rabbitmq_ca_cert_path: Path | None = setting(
        None,
        "CA file for the broker's certificate. Needed only if this machine does not already trust"
        " that CA",
        Path,
    )
    tls_cert_path: Path | None = setting(
        None,
        "File with the API's certificate in PEM, followed by any intermediate CA certificates. If"
        " set, the API accepts only TLS, version 1.2 or later. Changes are picked up without a"
        " restart",
        file_path,
    )
    tls_key_path: Path | None = setting(
        None,
        "File with the private key of TLS_CERT_PATH, in PEM and without a password",
        file_path,
    )
    ca_cert_path: Path | None = setting(
        None,
        "File with the certificate of the CA that issues certificates for hosts and operators, in"
        " PEM; `manmanv2 ca init` creates one. Further certificates in the file are trusted too",
        Path,
    )
    ca_key_path: Path | None = setting(
        None, "File with the private key of CA_CERT_PATH, in PEM and without a password", Path
    )
    mtls_listen_address: str = setting(
        "",
        "Listen address for mutual-TLS clients (HOST:PORT). If not set, the host of LISTEN_ADDRESS"
        " and its port plus one. Used only with CA_CERT_PATH",
        host_and_port(),
    )
    trust_domain: str = setting(
        DEFAULT_TRUST_DOMAIN,
        "SPIFFE trust domain of issued certificates: a host is spiffe://TRUST_DOMAIN/server/ID",
        _trust_domain,
    )
    host_certificate_lifetime_seconds: int = setting(
        86400,
        "Lifetime of a host's certificate in seconds. The host renews it after half of that",
        integer(60, 10 * 365 * 86400),
    )
    metrics_address: str = setting(
        DEFAULT_METRICS_ADDRESS,
        "Listen address for /metrics, /healthz and /readyz over HTTP (HOST:PORT), or off",
        host_and_port_or_off,
        show=lambda address: address or "off",
    )
    api_workers: int = setting(1, "Number of processes that serve the same port", integer(1, 64))
    registration_key: Secret | None = setting(
        None,
        "Key that a host must send to register. If not set, any host may register. The file may"
        " hold several keys, one per line; changes are picked up without a restart",
        secret,
        parse_file=registration_keys_in,
    )
    registration_key_required: bool = setting(
        False,
        "true admits no host without a key: if REGISTRATION_KEY is not set, a host needs a join"
        " key, which `manmanv2 keys create` creates",
        boolean,
    )
    operator_key: Secret | None = setting(
        None,
        "Key with full operator access, sent as a bearer token. If it is not set, no admin has a"
        " key and OIDC_ISSUER is not set, only this machine may make operators' calls",
        bearer_token,
    )
    oidc_issuer: str = setting(
        "",
        "https:// URL of an OIDC provider, exactly as in the iss claim of its tokens. Operators may"
        " then send such tokens as bearer tokens, and every operator's call needs a key or a token",
        _issuer,
    )
    oidc_audience: str = setting("", "Value that the aud claim of tokens must contain")
    oidc_jwks_url: str = setting(
        "",
        "https:// URL of the provider's keys (JWKS). If not set, the API discovers it from"
        " OIDC_ISSUER",
        checked_url,
    )
    oidc_ca_cert_path: Path | None = setting(
        None,
        "CA file for the OIDC provider's certificate. Needed only if this machine does not already"
        " trust that CA",
        Path,
    )
    oidc_role_claim: str = setting(
        "role",
        "Claim with the operator's role or roles: a string or a list. Use dots for a nested claim,"
        " for example realm_access.roles",
    )
    oidc_roles: Mapping[str, Role] | None = setting(
        None,
        "Which values of OIDC_ROLE_CLAIM mean which role: VALUE=ROLE,…, with the roles viewer,"
        " operator and admin. If not set, the values are these words. The highest role counts",
        _roles,
        show=_roles_text,
    )
    oidc_name_claim: str = setting(
        "sub",
        "Claim with the operator's name for the audit log. Choose one that users cannot set"
        " themselves",
    )
    heartbeat_interval_seconds: int = setting(
        15,
        "Seconds between heartbeats of a host. A host is offline after three intervals without one",
        integer(1, 3600),
    )
    max_heartbeats_per_second: int = setting(
        2000,
        "Heartbeats per second that the whole fleet may send. A larger fleet gets a longer"
        " interval",
        integer(1, 1_000_000),
    )
    max_registrations_per_second: int = setting(
        500,
        "Registrations, configuration fetches and deregistrations per second with the same host"
        " key, in each process. A burst of five seconds' worth is allowed; hosts retry calls above"
        " the limit",
        integer(1, 1_000_000),
    )
    max_operator_calls_per_second: int = setting(
        200,
        "Operators' calls per second with the same key, in each process, with the same burst",
        integer(1, 1_000_000),
    )
    max_unauthenticated_calls_per_second: int = setting(
        20,
        "Calls per second without a known key, of hosts and operators, from the same address, in"
        " each process, with the same burst",
        integer(1, 1_000_000),
        old_names=("MAX_WRONG_KEYS_PER_SECOND",),
    )
    max_connections: int = setting(
        15_000,
        "Open connections per process. A connection above the limit is closed at once; the others"
        " stay open",
        integer(1, 1_000_000),
    )
    name_conflict_policy: str = setting(
        NamePolicy.REJECT,
        "What happens when a machine registers under the name of another machine that is online:"
        " reject refuses it, takeover gives it the server and stops the other one, allow lets both"
        " use the name",
        choice(*NamePolicy),
    )
    registration_approval: str = setting(
        ApprovalPolicy.AUTO,
        "auto, or manual: a new server gets no configuration until an operator approves it",
        choice(*ApprovalPolicy),
    )
    enforcement: Enforcement = setting(
        ENFORCE_ALL,
        "Modes of the checks: SWITCH=MODE,… The switches name-conflict, epoch, approval, ban and"
        " delete-online default to enforce, credential and certificate to off. The modes are off,"
        " warn and enforce; `manmanv2 audit dry-run` lists the calls that warn let through",
        _enforcement,
        show=str,
    )
    host_credential_lifetime_seconds: int = setting(
        30 * 86400,
        "Lifetime of a host's credential in seconds. The host gets a new one after half of that",
        integer(60, 10 * 365 * 86400),
    )
    ephemeral_retention_seconds: int = setting(
        86400,
        "Seconds offline after which an ephemeral server is deleted",
        integer(1, 10 * 365 * 86400),
    )
    deleted_retention_days: int = setting(
        30,
        "Days for which a deleted server can be restored. 0 deletes servers permanently at once",
        integer(0, 3650),
    )
    audit_retention_days: int = setting(
        0,
        "Days for which `manmanv2 audit list` keeps operators' actions. 0 keeps them forever",
        integer(0, 3650),
    )
    grpc_reflection: bool = setting(
        False,
        "true enables gRPC server reflection, so that clients can list the API's methods",
        boolean,
    )

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
        """How long events wait before a process without a broker drops them.

        Other processes on the same database may have a broker.
        """
        publishes_all = (
            self.store_kind is StoreKind.MEMORY or self.messages_kind is MessagesKind.AMQP
        )
        return timedelta(0) if publishes_all else timedelta(hours=1)

    @property
    def claim_rules(self) -> ClaimRules:
        roles = self.oidc_roles or ROLES_BY_NAME
        return ClaimRules(self.oidc_name_claim, self.oidc_role_claim, roles)

    @property
    def speaks_tls(self) -> bool:
        return self.tls_cert_path is not None

    @property
    def mutual_tls_address(self) -> str:
        """The listen address for mutual-TLS clients; empty if the API issues no certificates."""
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

    def check(self, set_fields: Collection[str]) -> None:
        _check_both("TLS_CERT_PATH", self.tls_cert_path, "TLS_KEY_PATH", self.tls_key_path)
        _check_both("CA_CERT_PATH", self.ca_cert_path, "CA_KEY_PATH", self.ca_key_path)
        self._check_certificates(set_fields)
        self._check_oidc(set_fields)
        if self.store_kind is StoreKind.SQL:
            from adapters.sql.engine import sql_url

            try:
                sql_url(self.database_url.reveal())
            except ValueError as error:
                raise ConfigurationError.on("DATABASE_URL", error) from None
        if self.host_credential_lifetime_seconds < 4 * self.heartbeat_interval_seconds:
            raise ConfigurationError(
                "HOST_CREDENTIAL_LIFETIME_SECONDS is"
                f" {self.host_credential_lifetime_seconds}, but a credential is"
                " renewed by a heartbeat",
                "set it to four times HEARTBEAT_INTERVAL_SECONDS or more",
            )
        if self.api_workers > 1 and self.store_kind is StoreKind.MEMORY:
            raise ConfigurationError(
                f"API_WORKERS is {self.api_workers}, but processes cannot share"
                f" DATABASE_URL={IN_MEMORY}",
                "set it to 1",
            )
        if self.api_workers > 1 and self.listen_address.endswith(":0"):
            raise ConfigurationError(
                f"API_WORKERS is {self.api_workers}, but processes cannot share port 0",
                "name another in LISTEN_ADDRESS",
            )

    def _check_oidc(self, set_fields: Collection[str]) -> None:
        others = sorted(name.upper() for name in set_fields if name.startswith("oidc_"))
        if others and not self.oidc_issuer:
            raise ConfigurationError(
                f"OIDC_ISSUER: must be set, because {others[0]} is. To accept no"
                f" tokens, unset {', '.join(others)}",
                setting="OIDC_ISSUER",
            )
        if self.oidc_issuer and not self.oidc_audience:
            raise ConfigurationError(
                "OIDC_AUDIENCE: must be set, because OIDC_ISSUER is",
                "the API must refuse tokens that were issued for another program",
                setting="OIDC_AUDIENCE",
            )
        if self.oidc_ca_cert_path and not f"{self.oidc_issuer} {self.oidc_jwks_url}".count("https"):
            raise ConfigurationError(
                "OIDC_CA_CERT_PATH: must not be set, because the provider has no certificate",
                "its URL is http://",
                setting="OIDC_CA_CERT_PATH",
            )

    def _check_certificates(self, set_fields: Collection[str]) -> None:
        if self.ca_cert_path is None:
            for name in ("mtls_listen_address", "trust_domain"):
                if name in set_fields:
                    raise ConfigurationError(
                        f"{name.upper()}: has no effect without CA_CERT_PATH",
                        f"set CA_CERT_PATH, or unset {name.upper()}",
                        setting=name.upper(),
                    )
            if self.enforcement.of(Switch.CERTIFICATE) is not Mode.OFF:
                raise ConfigurationError(
                    "ENFORCEMENT: certificate needs hosts with certificates, but"
                    " this API issues none",
                    "set CA_CERT_PATH and CA_KEY_PATH, or remove certificate",
                    setting="ENFORCEMENT",
                )
            return
        if self.tls_cert_path is None:
            raise ConfigurationError(
                "TLS_CERT_PATH: must be set, because CA_CERT_PATH is, and clients"
                " present their certificates over TLS",
                setting="TLS_CERT_PATH",
            )
        if not 1 <= self.mutual_tls_port <= 65535:
            raise ConfigurationError(
                "MTLS_LISTEN_ADDRESS: must be set, because no port follows that of"
                f" LISTEN_ADDRESS, {self.listen_address}",
                setting="MTLS_LISTEN_ADDRESS",
            )
        if self.mutual_tls_address == self.listen_address:
            raise ConfigurationError(
                "MTLS_LISTEN_ADDRESS: must differ from LISTEN_ADDRESS, which is"
                f" {self.listen_address}",
                setting="MTLS_LISTEN_ADDRESS",
            )
        if self.host_certificate_lifetime_seconds < 4 * self.heartbeat_interval_seconds:
            raise ConfigurationError(
                "HOST_CERTIFICATE_LIFETIME_SECONDS is"
                f" {self.host_certificate_lifetime_seconds}, but a certificate is"
                " renewed between heartbeats",
                "set it to four times HEARTBEAT_INTERVAL_SECONDS or more",
            )


def _check_both(name: str, value: object, other_name: str, other: object) -> None:
    if (value is None) is (other is None):
        return
    present, missing = (other_name, name) if value is None else (name, other_name)
    raise ConfigurationError(
        f"{missing}: must be set, because {present} is",
        "to use neither, unset both",
        separator="; ",
        setting=missing,
    )
