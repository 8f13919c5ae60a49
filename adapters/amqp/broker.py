import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from amqp import exceptions
from kombu import Connection

from adapters.amqp.broker_diagnosis import diagnose
from adapters.amqp.transport import Transport
from application.ports.broker import BrokerUnavailable
from application.ports.diagnosis import Diagnosis

_TLS_PORT = 5671
_PLAIN_PORT = 5672


@dataclass(frozen=True)
class Broker:
    """The address of the broker. Every wait for it ends after `seconds` at the latest.

    `amqps://` verifies the certificate's chain, by the machine's CAs or by the file, and its name.
    """

    url: str = field(repr=False)
    ca_file: Path | None = None
    seconds: float = 5.0

    @contextmanager
    def connected(self, heartbeat_seconds: int = 0) -> Iterator[Connection]:
        """A connection that is closed at the end of the block.

        With heartbeats, the caller must call `heartbeat_check` about every second. Raises
        BrokerUnavailable, also for a failure of the broker within the block.
        """
        with self.translate_errors():
            connection = self.connect(heartbeat_seconds)
            try:
                yield connection
            except BaseException:
                # Closes without a handshake: a broker that does not answer would delay it.
                connection.collect()
                raise
            connection.release()

    def connect(self, heartbeat_seconds: int = 0) -> Connection:
        """Raises what kombu raises: for use within `translate_errors`."""
        address = urlsplit(self.url)
        connection = Connection(
            # In parts: in a whole URL, kombu takes a ";" for the start of the next URL, and what
            # follows a "?" for its own arguments.
            address.hostname,
            port=address.port,
            userid=unquote(address.username or ""),
            password=unquote(address.password or ""),
            virtual_host=unquote(address.path[1:]),
            transport=Transport,
            ssl=self._tls(address.hostname or "") if address.scheme == "amqps" else False,
            connect_timeout=self.seconds,
            heartbeat=heartbeat_seconds,
            # A consumer, which has heartbeats, loses nothing while the broker is blocked.
            transport_options={"on_blocked": None if heartbeat_seconds else _blocked},
        )
        # One attempt: the caller knows better whether and when to try again.
        connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
        return connection

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Turn the errors of kombu and of its libraries into BrokerUnavailable."""
        try:
            yield
        except (exceptions.AMQPError, exceptions.MessageNacked, OSError) as error:
            raise self.unavailable(diagnose(error)) from error

    def unavailable(self, diagnosis: Diagnosis) -> BrokerUnavailable:
        address = urlsplit(self.url)
        port = address.port or (_TLS_PORT if address.scheme == "amqps" else _PLAIN_PORT)
        return BrokerUnavailable.of(
            diagnosis.after(f"The broker at {address.hostname}:{port} (RABBITMQ_URL) ")
        )

    def _tls(self, hostname: str) -> dict[str, Any]:
        if self.ca_file:
            _check_ca_file(self.ca_file)
        return {
            "cert_reqs": ssl.CERT_REQUIRED,
            "ca_certs": str(self.ca_file) if self.ca_file else None,
            # Without a name only the chain is verified. kombu's own default would turn localhost
            # into 127.0.0.1 first.
            "server_hostname": hostname,
            "ssl_version": ssl.PROTOCOL_TLS_CLIENT,
        }


def _blocked(_: str) -> None:
    raise exceptions.Blocked


def _check_ca_file(path: Path) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        problem = (
            "holds no PEM certificate" if isinstance(error, ssl.SSLError) else "cannot be read"
        )
        raise BrokerUnavailable(
            f"RABBITMQ_CA_CERT_PATH {path} {problem}",
            "set it to the file of the CA that issued the broker's certificate",
        ) from error
