import errno
import logging
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from struct import unpack_from
from typing import Any
from urllib.parse import unquote, urlsplit

from amqp import exceptions, method_framing, spec
from kombu import Connection
from kombu.transport import pyamqp

from application.ports.broker import BrokerUnavailable

_log = logging.getLogger(__name__)

_TLS_PORT = 5671
_PLAIN_PORT = 5672

_CLOSES = (
    "closes the connection: check that it runs well and that the port is its AMQP port; its TLS"
    " port needs amqps://"
)
_Kind = type[Exception] | tuple[type[Exception], ...]

# What went wrong, what `_detail` says of it, and what an operator is told: the first that fits.
_TABLE: Sequence[tuple[_Kind, str, str]] = (
    # What the broker answers. Who is about to log in has called no method yet.
    (exceptions.AccessRefused, "^$", "refuses this user or password"),
    (
        exceptions.AccessRefused,
        "",
        "does not let this user do what is needed: permit it to configure, write and read",
    ),
    (exceptions.NotAllowed, "", "has no such virtual host, or this user may not use it"),
    (exceptions.NotFound, "", "has lost an exchange or a queue that is needed"),
    (
        exceptions.PreconditionFailed,
        "declare",
        "has an exchange or a queue of ours with other properties: delete it, it is made anew",
    ),
    (exceptions.ResourceLocked, "", "has a queue that another connection keeps for itself"),
    (exceptions.MessageNacked, "", "refuses a message: a queue is full, or its log says why"),
    (exceptions.Blocked, "", "is short of memory or disk and takes no messages"),
    (
        (
            exceptions.FrameError,
            exceptions.FrameSyntaxError,
            exceptions.UnexpectedFrame,
            exceptions.AMQPNotImplementedError,
        ),
        "",
        "does not speak AMQP on that port: its AMQP port is mostly 5672, or 5671 for amqps://",
    ),
    # What TLS says.
    (
        ssl.SSLCertVerificationError,
        "mismatch|not valid for",
        "shows a certificate for another name: use the name that it is made out to",
    ),
    (
        ssl.SSLCertVerificationError,
        "expired|not yet valid",
        "shows a certificate that is not valid now: renew it, or set this machine's clock",
    ),
    (
        ssl.SSLCertVerificationError,
        "",
        (
            "shows a certificate of a CA that is not trusted here: set RABBITMQ_CA_CERT_PATH to"
            " that CA's certificate"
        ),
    ),
    (
        ssl.SSLError,
        "ALERT",
        (
            "refuses to speak TLS with this machine: its log says why; it must not insist on a"
            " certificate of the client"
        ),
    ),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), "", _CLOSES),
    (
        ssl.SSLError,
        "",
        "does not speak TLS on that port: amqps:// needs its TLS port, mostly 5671",
    ),
    # What the network says.
    (
        TimeoutError,
        "",
        (
            "does not answer in time: check that it is well, that the port is its AMQP port and"
            " that no firewall is between"
        ),
    ),
    (socket.gaierror, "", "is not found: its name does not resolve"),
    (
        ConnectionRefusedError,
        "",
        "is not there: nothing listens on that port; check that it runs",
    ),
    (
        OSError,
        "UNREACH|ENETDOWN|EADDRNOTAVAIL|EACCES|EPERM",
        "cannot be reached from here: check its address and this machine's network",
    ),
    (Exception, "", _CLOSES),
)


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
            # In pieces: of a whole URL kombu takes a ; for the beginning of the next, and what is
            # behind a ? for arguments of its own.
            address.hostname,
            port=address.port,
            userid=unquote(address.username or ""),
            password=unquote(address.password or ""),
            virtual_host=unquote(address.path[1:]),
            transport=_Transport,
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
    def own_errors(self) -> Iterator[None]:
        """The one way from what kombu, and what it stands on, says to our own error."""
        try:
            yield
        except (exceptions.AMQPError, exceptions.MessageNacked, OSError) as error:
            raise self.unavailable(_why(error)) from error

    def unavailable(self, why: str) -> BrokerUnavailable:
        address = urlsplit(self.url)
        port = address.port or (_TLS_PORT if address.scheme == "amqps" else _PLAIN_PORT)
        return BrokerUnavailable(f"The broker at {address.hostname}:{port} (RABBITMQ_URL) {why}.")

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


UNREADABLE = "unreadable"


class _Message(method_framing.Message):  # type: ignore[misc]  # its base has no types
    """One that says that its properties make no sense, instead of ending the connection.

    Else a single one would come back, and end it, for ever.
    """

    def _load_properties(self, *arguments: Any) -> None:
        try:
            super()._load_properties(*arguments)
        except Exception:  # noqa: BLE001 - py-amqp trips over them in many ways
            self.properties = {UNREADABLE: True}


# py-amqp has no other place to say so.
method_framing.Message = _Message


class _Connection(pyamqp.Connection):  # type: ignore[misc]  # its base has no types
    """One that closes its socket whatever goes wrong, and waits for nothing without an end."""

    def connect(self, callback: Any = None) -> None:
        try:
            super().connect(callback)
            # Else it would wait for ever for the rest of a frame that has begun.
            self.transport.sock.settimeout(self.connect_timeout)
        except (exceptions.AMQPError, OSError):
            self.collect()
            raise
        except Exception as error:
            self.collect()
            if isinstance(error, UnicodeError) and not self.bytes_recv:
                # So Python speaks of a name before it asks the resolver.
                raise socket.gaierror from error
            # Over what is no AMQP, py-amqp trips in many ways.
            raise exceptions.UnexpectedFrame from error

    def on_inbound_method(
        self, channel_id: int, method: tuple[int, int], payload: bytes, content: Any
    ) -> Any:
        try:
            return super().on_inbound_method(channel_id, method, payload, content)
        except UnicodeError:
            if method != spec.Basic.Deliver:
                raise
            # Its routing key is no text. It is to go away, or it would come back for ever. Behind
            # the method's number stand the consumer's tag, its length first, and the delivery's.
            [delivery_tag] = unpack_from(">Q", payload, 4 + 1 + payload[4])
            self.channels[channel_id].basic_reject(delivery_tag, requeue=False)
            _log.warning("a message was dropped, its routing key is no text")
            return None

    def collect(self) -> None:
        if self._transport and self._transport.sock:
            # Else it would wait for the other side's last word in TLS.
            self._transport.sock.settimeout(0)
        super().collect()


class _Transport(pyamqp.Transport):  # type: ignore[misc]  # its base has no types
    Connection = _Connection


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
            f"RABBITMQ_CA_CERT_PATH {path} {trouble}: set it to the file of the CA that issues the"
            " broker's certificate."
        ) from error


def _why(error: BaseException) -> str:
    # A write that took too long is an error of py-amqp's own.
    cause = error.__context__ if isinstance(error.__context__, TimeoutError) else error
    return next(
        why
        for kind, detail, why in _TABLE
        if isinstance(cause, kind) and re.search(detail, _detail(cause))
    )


def _detail(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return error.verify_message
        case ssl.SSLError():
            return error.reason or ""
        case exceptions.AMQPError():
            return str(error.method_name)
        case OSError():
            return errno.errorcode.get(error.errno or 0, "")
    return ""
