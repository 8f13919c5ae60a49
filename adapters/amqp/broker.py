import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from amqp import exceptions
from kombu import Connection

from adapters.amqp.broker_diagnosis import why_unavailable
from adapters.amqp.transport import Transport
from application.ports.broker import BrokerUnavailable
from application.ports.diagnosis import Diagnosis

_TLS_PORT = 5671
_PLAIN_PORT = 5672


@dataclass(frozen=True)
class Broker:
    """Where the broker is. Every wait for it is bounded by `seconds`.

    `amqps://` checks the certificate's chain, by the machine's CAs or by the file, and the name.
    """

    url: str = field(repr=False)
    ca_file: Path | None = None
    seconds: float = 5.0

    @contextmanager
    def connected(self, heartbeat_seconds: int = 0) -> Iterator[Connection]:
        """A connection for the length of the block; none outlives it.

        With heartbeats its owner must call `heartbeat_check` about every second. Raises
        BrokerUnavailable, for whatever goes wrong with the broker within the block too.
        """
        with self.translate_errors():
            connection = self.connect(heartbeat_seconds)
            try:
                yield connection
            except BaseException:
                # Without a word: who does not listen would be waited for.
                connection.collect()
                raise
            connection.release()

    def connect(self, heartbeat_seconds: int = 0) -> Connection:
        """Raises what kombu raises: for use within `own_errors`."""
        address = urlsplit(self.url)
        connection = Connection(
            # In pieces: of a whole URL kombu takes a ; for the beginning of the next, and what is
            # behind a ? for arguments of its own.
            address.hostname,
            port=address.port,
            userid=unquote(address.username or ""),
            password=unquote(address.password or ""),
            virtual_host=unquote(address.path[1:]),
            transport=Transport,
            ssl=self._tls(address.hostname or "") if address.scheme == "amqps" else False,
            connect_timeout=self.seconds,
            heartbeat=heartbeat_seconds,
            # Who listens, with heartbeats, loses nothing and goes on once it is over.
            transport_options={"on_blocked": None if heartbeat_seconds else _blocked},
        )
        # Once: who calls knows better whether and when to try again.
        connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
        return connection

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """From what kombu, and what it stands on, says to our own error."""
        try:
            yield
        except (exceptions.AMQPError, exceptions.MessageNacked, OSError) as error:
            raise self.unavailable(why_unavailable(error)) from error

    def unavailable(self, why: Diagnosis) -> BrokerUnavailable:
        address = urlsplit(self.url)
        port = address.port or (_TLS_PORT if address.scheme == "amqps" else _PLAIN_PORT)
        return BrokerUnavailable.of(
            why.after(f"The broker at {address.hostname}:{port} (RABBITMQ_URL) ")
        )

    def _tls(self, hostname: str) -> dict[str, Any]:
        if self.ca_file:
            _check_ca_file(self.ca_file)
        return {
            "cert_reqs": ssl.CERT_REQUIRED,
            "ca_certs": str(self.ca_file) if self.ca_file else None,
            # Without it the chain is checked and the name is not. kombu's own way to fill it in
            # makes 127.0.0.1 of localhost first.
            "server_hostname": hostname,
            "ssl_version": ssl.PROTOCOL_TLS_CLIENT,
        }


def _blocked(_: str) -> None:
    raise exceptions.Blocked


def _check_ca_file(path: Path) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        trouble = (
            "holds no PEM certificate" if isinstance(error, ssl.SSLError) else "cannot be read"
        )
        raise BrokerUnavailable(
            f"RABBITMQ_CA_CERT_PATH {path} {trouble}",
            "set it to the file of the CA that issues the broker's certificate",
        ) from error
