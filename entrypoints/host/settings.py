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
    # AMQP without a registration.
    LEGACY = "legacy"


# What a host with a SERVER_ID has no use for.
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
            raise ValueError(f"must be KEY=VALUE,KEY=VALUE, as region=nyc, and {key!r} is not")
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
        raise ValueError("must be the whole path of a folder, beginning with /")
    return path


def _socket_path(text: str) -> Path:
    if ":" in text:
        raise ValueError("must be a path alone, as /var/run/docker.sock, without unix://")
    return Path(text)


@dataclass(frozen=True, kw_only=True)
class HostSettings(ApiClientSettings, ServiceSettings):
    registration_key: Secret | None = setting(
        None,
        "what the API wants of a host that joins; the same as the API's; the file may hold several,"
        " one a line, of which the API takes one, and is read again when it changes",
        secret,
        parse_file=registration_keys_in,
    )
    api_mtls_address: str = setting(
        "",
        "HOST:PORT where this host shows its certificate to the API, when it is not the port that"
        " the API tells, on the host in API_ADDRESS",
        host_and_port(),
    )
    environment: str = setting(
        "",
        "as production or dev; makes the name HOSTNAME-ENVIRONMENT, which stays",
        _by_the_rules(check_environment),
    )
    server_name: str = setting(
        "", "the name, when it shall be another one", _by_the_rules(check_name)
    )
    server_id: int | None = setting(
        None,
        "legacy mode: the id of a server that is there already; the host then does not register,"
        " and speaks over RABBITMQ_URL only",
        integer(1, 10**18 - 1),
    )
    transport: str = setting(
        Transport.GRPC,
        "grpc, over API_ADDRESS, or amqp, over RABBITMQ_URL",
        choice(Transport.GRPC, Transport.AMQP),
    )
    rabbitmq_url: Secret | None = setting(
        None,
        "amqp://USER:PASSWORD@HOST/VHOST or amqps://…, where commands arrive; needed with"
        " TRANSPORT=amqp and SERVER_ID",
        broker_url,
        in_file=True,
        show=lambda url: url_without_secrets(url.reveal()) if url else "",
    )
    rabbitmq_ca_cert_path: Path | None = setting(
        None, "the CA of the broker's certificate, when it is none that the machine trusts", Path
    )
    docker_socket: Path = setting(
        Path("/var/run/docker.sock"), "path of the Docker engine's socket", _socket_path
    )
    docker_optional: bool = setting(
        False, "true uses the machine's own figures while Docker does not answer", boolean
    )
    metrics_address: str = setting(
        "",
        "HOST:PORT to serve /metrics, /healthz and /readyz on over HTTP; when not set, or off, none"
        " is served",
        host_and_port_or_off,
    )
    config_dir: Path | None = setting(
        None,
        "folder to keep the server's configuration in, a file NAME.json for each document; when"
        " not set, none is fetched",
        Path,
    )
    state_dir: Path | None = setting(
        None,
        "folder to keep in who this host is; with it, a name that is made up stays, and a copy of"
        " it on another machine is noticed",
        Path,
    )
    labels: tuple[tuple[str, str], ...] = setting(
        (),
        "as region=nyc,tier=gold: what operators select servers by; theirs win",
        _labels,
        show=_shown_labels,
    )
    ephemeral: bool = setting(
        False, "true lets the API delete the server once it was offline for long", boolean
    )
    deregister_on_exit: bool = setting(
        False, "true deletes the server when the host manager is stopped", boolean
    )
    host_root: Path = setting(
        Path("/"),
        "where the machine's own / is, as /host; for a host manager in a container, which else"
        " does not see the machine's machine-id",
        _folder,
        old_names=("MACHINE_ROOT",),
    )

    @property
    def way(self) -> Transport:
        """How this host speaks to the control plane."""
        return Transport.LEGACY if self.server_id is not None else Transport(self.transport)

    def check(self, given: Collection[str]) -> None:
        if self.server_id is not None:
            unused = [name.upper() for name in _REGISTRATION if name in given]
            if "transport" in given and self.transport != Transport.AMQP:
                unused.append("TRANSPORT")
            if unused:
                named = " and ".join(unused)
                raise ConfigurationError(
                    f"SERVER_ID is set together with {named}: a host with a given id"
                    " does not register",
                    f"unset SERVER_ID to register, or unset {named} to keep the id",
                    separator="; ",
                )
        if self.way is not Transport.GRPC and self.rabbitmq_url is None:
            why = "SERVER_ID" if self.way is Transport.LEGACY else "TRANSPORT=amqp"
            raise ConfigurationError(
                f"RABBITMQ_URL: must be set, because {why} is", setting="RABBITMQ_URL"
            )
        if self.way is Transport.GRPC:
            super().check(given)
            self._check_what_needs_tls(given)

    def _check_what_needs_tls(self, given: Collection[str]) -> None:
        if self.api.tls:
            return
        address = self.api.address
        if "api_mtls_address" in given:
            raise ConfigurationError(
                "API_MTLS_ADDRESS: of no use, because API_ADDRESS asks for no TLS",
                f"write https://{address}, or unset API_MTLS_ADDRESS",
                separator="; ",
                setting="API_MTLS_ADDRESS",
            )
        shown = [PlaintextKey.parse(key, JOIN_KEY) for key in self._registration_keys()]
        if any(key and key.authority_digest for key in shown):
            raise ConfigurationError(
                "REGISTRATION_KEY says by which authority the API is known, but"
                " API_ADDRESS asks for no TLS, in which alone it can be",
                f"write https://{address}",
            )

    def _registration_keys(self) -> Sequence[str]:
        given = self.registration_key
        if isinstance(given, SecretsInFile):
            return given.reveal_all()
        return (given.reveal(),) if given else ()
