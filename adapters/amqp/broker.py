import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from amqp import exceptions
from kombu import Connection

from application.ports.broker import BrokerUnavailable

_TLS_PORT = 5671
_PLAIN_PORT = 5672

# What the broker says of itself, by AMQP's reply code.
_REPLIES = {
    exceptions.AccessRefused: "refuses this user or password",
    exceptions.NotAllowed: "has no such virtual host, or this user may not use it",
    exceptions.NotFound: "has lost an exchange or a queue that is needed",
    exceptions.PreconditionFailed: (
        "has an exchange or a queue of ours with other properties: delete it, it is made anew"
    ),
    exceptions.ResourceLocked: "has a queue that another connection keeps for itself",
    exceptions.MessageNacked: "could not keep a message: its log says why",
    exceptions.Blocked: "is short of memory or disk and takes no messages",
}


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
        with self.own_errors():
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
            self.url,
            ssl=self._tls(address.hostname or "") if address.scheme == "amqps" else False,
            connect_timeout=self.seconds,
            heartbeat=heartbeat_seconds,
            transport_options={"read_timeout": self.seconds, "write_timeout": self.seconds},
        )
        # Once: who calls knows better whether and when to try again.
        connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
        return connection

    @contextmanager
    def own_errors(self) -> Iterator[None]:
        """The one table from what kombu, and what it stands on, says to our own error."""
        try:
            yield
        except (exceptions.AMQPError, exceptions.MessageNacked, OSError) as error:
            raise self.unavailable(_why(error)) from error

    def unavailable(self, why: str) -> BrokerUnavailable:
        address = urlsplit(self.url)
        port = address.port or (_TLS_PORT if address.scheme == "amqps" else _PLAIN_PORT)
        return BrokerUnavailable(f"The broker at {address.hostname}:{port} (RABBITMQ_URL) {why}.")

    def _tls(self, hostname: str) -> dict[str, Any]:
        return {
            "cert_reqs": ssl.CERT_REQUIRED,
            "ca_certs": str(self.ca_file) if self.ca_file else None,
            # Without it the chain is checked and the name is not. kombu's own way to fill it in
            # makes 127.0.0.1 of localhost first.
            "server_hostname": hostname,
            "ssl_version": ssl.PROTOCOL_TLS_CLIENT,
        }


def _why(error: Exception) -> str:
    for kind, why in _REPLIES.items():
        if isinstance(error, kind):
            return why
    match error:
        case ssl.SSLCertVerificationError():
            return _why_not_trusted(error)
        case ssl.SSLError():
            return "does not speak TLS on that port: amqps:// needs its TLS port, mostly 5671"
        case TimeoutError():
            return (
                "does not answer in time: check that it is well, that the port is its AMQP port"
                " and that no firewall is between"
            )
        case ConnectionRefusedError():
            return "is not there: nothing listens on that port; check that it runs"
        case OSError() if type(error).__name__ == "gaierror":
            return "is not found: its name does not resolve"
        case exceptions.FrameError() | exceptions.UnexpectedFrame():
            return "does not speak AMQP on that port"
    return "closes the connection: check that it runs well and that the port is its AMQP port"


def _why_not_trusted(error: ssl.SSLCertVerificationError) -> str:
    said = error.verify_message
    if "mismatch" in said or "not valid for" in said:
        return "shows a certificate for another name: use the name that it is made out to"
    if "expired" in said or "not yet valid" in said:
        return "shows a certificate that is not valid now: renew it, or set this machine's clock"
    return (
        "shows a certificate of a CA that is not trusted here: set RABBITMQ_CA_CERT_PATH to that"
        " CA's certificate"
    )
