from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from application.ports.diagnosis import InvalidValue
from domain.errors import InvalidField
from domain.keys import JOIN_KEY, PlaintextKey
from domain.labels import check_labels
from domain.naming import check_environment, check_name
from entrypoints.api_address import ApiClientSettings
from entrypoints.failures import ConfigurationError
from entrypoints.settings import (
    Secret,
    SecretsInFile,
    ServiceSettings,
    boolean,
    broker_url,
    choice,
    host_and_port,
    host_and_port_or_off,
    integer,
    registration_keys_in,
    secret,
    setting,
    url_without_secrets,
)


class Transport(StrEnum):
    GRPC = "grpc"
    AMQP = "amqp"
    # AMQP, without a registration.
    LEGACY = "legacy"


# Settings that a host with a SERVER_ID does not use.
_REGISTRATION = (
    "api_address",
    "api_use_tls",
    "api_ca_cert_path",
    "api_tls_server_name",
    "api_mtls_address",
    "registration_key",
    "server_name",
    "config_dir",
    "labels",
    "ephemeral",
    "deregister_on_exit",
)


def _by_the_rules(check: Callable[[str], None]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            check(text)
        except InvalidField as error:
            raise InvalidValue(error.problem, "choose another one") from None
        return text

    return parse


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [pair.strip().partition("=") for pair in text.split(",")]
    for key, equals, _ in pairs:
        if not equals:
            raise ValueError(
                f"must be KEY=VALUE,KEY=VALUE, for example region=nyc, and {key!r} is not"
            )
    labels: dict[str, str] = {}
    for key, _, value in pairs:
        if key in labels:
            raise InvalidValue(f"has the key {key!r} more than once", "leave one of them out")
        labels[key] = value
    try:
        check_labels(labels)
    except InvalidField as error:
        raise ValueError(error.problem) from None
    return tuple(labels.items())


def _shown_labels(labels: tuple[tuple[str, str], ...]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels)


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("must be the absolute path of a directory")
    return path


def _socket_path(text: str) -> Path:
    if ":" in text:
        raise ValueError("must be a path without unix://, for example /var/run/docker.sock")
    return Path(text)


@dataclass(frozen=True, kw_only=True)
class HostSettings(ApiClientSettings, ServiceSettings):
    registration_key: Secret | None = setting(
        None,
        "The API's registration key, or a join key. The file may contain several keys, one on each"
        " line: the API must accept one of them. The file is read again when it changes",
        secret,
        parse_file=registration_keys_in,
    )
    api_mtls_address: str = setting(
        "",
        "The API's mutual-TLS address (HOST:PORT), where this host presents its certificate. Needed"
        " only if it differs from the host in API_ADDRESS and the port that the API reports",
        host_and_port(),
    )
    environment: str = setting(
        "",
        "For example production or dev. The server is named HOSTNAME-ENVIRONMENT, and keeps that"
        " name",
        _by_the_rules(check_environment),
    )
    server_name: str = setting(
        "", "The name of the server, instead of HOSTNAME-ENVIRONMENT", _by_the_rules(check_name)
    )
    server_id: int | None = setting(
        None,
        "Legacy mode: the id of an existing server. The host then does not register, and uses only"
        " RABBITMQ_URL",
        integer(1, 10**18 - 1),
    )
    transport: str = setting(
        Transport.GRPC,
        "How the host reaches the API: grpc (API_ADDRESS) or amqp (RABBITMQ_URL)",
        choice(Transport.GRPC, Transport.AMQP),
    )
    rabbitmq_url: Secret | None = setting(
        None,
        "The message broker that delivers commands: amqp://USER:PASSWORD@HOST/VHOST or amqps://…."
        " Required with TRANSPORT=amqp and with SERVER_ID",
        broker_url,
        in_file=True,
        show=lambda url: url_without_secrets(url.reveal()) if url else "",
    )
    rabbitmq_ca_cert_path: Path | None = setting(
        None,
        "CA file for the broker's certificate. Needed only if this machine does not already trust"
        " that CA",
        Path,
    )
    docker_socket: Path = setting(
        Path("/var/run/docker.sock"), "Path of the Docker engine's socket", _socket_path
    )
    docker_optional: bool = setting(
        False,
        "true: report the figures that the operating system gives while Docker does not answer",
        boolean,
    )
    metrics_address: str = setting(
        "",
        "Listen address for /metrics, /healthz and /readyz over HTTP (HOST:PORT). Empty or off:"
        " not served",
        host_and_port_or_off,
    )
    config_dir: Path | None = setting(
        None,
        "Directory for the server's configuration, a file NAME.json for each document. Empty: the"
        " configuration is not fetched",
        Path,
    )
    state_dir: Path | None = setting(
        None,
        "Directory for this host's identity and credential. It keeps a generated name over"
        " restarts. A copy of it on another machine is detected",
        Path,
    )
    labels: tuple[tuple[str, str], ...] = setting(
        (),
        "Labels by which operators select servers, for example region=nyc,tier=gold. An operator's"
        " labels take precedence",
        _labels,
        show=_shown_labels,
    )
    ephemeral: bool = setting(
        False,
        "true: the API may delete the server after it has been offline for long",
        boolean,
    )
    deregister_on_exit: bool = setting(
        False,
        "true: delete the server from the API when the host manager is stopped",
        boolean,
    )
    host_root: Path = setting(
        Path("/"),
        "Where the machine's root directory is mounted, for example /host. Needed in a container,"
        " which otherwise cannot read the machine's machine-id",
        _folder,
        old_names=("MACHINE_ROOT",),
    )

    @property
    def way(self) -> Transport:
        """How this host reaches the control plane."""
        return Transport.LEGACY if self.server_id is not None else Transport(self.transport)

    def check(self, set_names: Collection[str]) -> None:
        if self.server_id is not None:
            unused = [name.upper() for name in _REGISTRATION if name in set_names]
            if "transport" in set_names and self.transport != Transport.AMQP:
                unused.append("TRANSPORT")
            if unused:
                named = " and ".join(unused)
                raise ConfigurationError(
                    f"SERVER_ID is set together with {named}: a host with an assigned"
                    " id does not register",
                    f"unset SERVER_ID to register, or unset {named} to keep the id",
                    separator="; ",
                )
        if self.way is not Transport.GRPC and self.rabbitmq_url is None:
            why = "SERVER_ID" if self.way is Transport.LEGACY else "TRANSPORT=amqp"
            raise ConfigurationError(
                f"RABBITMQ_URL: must be set, because {why} is", setting="RABBITMQ_URL"
            )
        if self.way is Transport.GRPC:
            super().check(set_names)
            self._check_tls(set_names)

    def _check_tls(self, set_names: Collection[str]) -> None:
        if self.api.tls:
            return
        address = self.api.address
        if "api_mtls_address" in set_names:
            raise ConfigurationError(
                "API_MTLS_ADDRESS: without effect, because API_ADDRESS does not use TLS",
                f"set API_ADDRESS to https://{address}, or unset API_MTLS_ADDRESS",
                setting="API_MTLS_ADDRESS",
            )
        presented = [PlaintextKey.parse(key, JOIN_KEY) for key in self._registration_keys()]
        if any(key and key.authority_digest for key in presented):
            raise ConfigurationError(
                "REGISTRATION_KEY pins the API's CA, which requires TLS, but API_ADDRESS does not"
                " use TLS",
                f"set API_ADDRESS to https://{address}",
            )

    def _registration_keys(self) -> Sequence[str]:
        keys = self.registration_key
        if isinstance(keys, SecretsInFile):
            return keys.reveal_all()
        return (keys.reveal(),) if keys else ()
