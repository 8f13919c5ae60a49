"""py-amqp with fixes: no message can break each new connection, and no peer can block forever."""

import logging
import socket
from struct import unpack_from
from typing import Any

from amqp import exceptions, method_framing, spec
from kombu.transport import pyamqp

_log = logging.getLogger(__name__)

UNREADABLE = "unreadable"


class _Message(method_framing.Message):  # type: ignore[misc]  # its base has no types
    """Marks a message with unreadable properties, where py-amqp would close the connection.

    The broker would deliver the message again and so break each new connection.
    """

    def _load_properties(self, *arguments: Any) -> None:
        try:
            super()._load_properties(*arguments)
        except Exception:  # noqa: BLE001 - py-amqp raises many errors for them
            self.properties = {UNREADABLE: True}


# py-amqp has no other place to set the class.
method_framing.Message = _Message


class _Connection(pyamqp.Connection):  # type: ignore[misc]  # its base has no types
    """Closes its socket after every failure, and never waits without a limit."""

    def connect(self, callback: Any = None) -> None:
        try:
            super().connect(callback)
            # Otherwise it would wait forever for the rest of a frame.
            self.transport.sock.settimeout(self.connect_timeout)
        except (exceptions.AMQPError, OSError):
            self.collect()
            raise
        except Exception as error:
            self.collect()
            if isinstance(error, UnicodeError) and not self.bytes_recv:
                # Python raises it for a host name that it cannot even pass to the resolver.
                raise socket.gaierror from error
            # py-amqp raises many errors for a peer that does not speak AMQP.
            raise exceptions.UnexpectedFrame from error

    def on_inbound_method(
        self, channel_id: int, method: tuple[int, int], payload: bytes, content: Any
    ) -> Any:
        try:
            return super().on_inbound_method(channel_id, method, payload, content)
        except UnicodeError:
            if method != spec.Basic.Deliver:
                raise
            # The routing key is not text. Reject the message, or the broker delivers it forever.
            # The payload has the method's number, the length of the consumer tag, that tag and the
            # delivery tag.
            [delivery_tag] = unpack_from(">Q", payload, 4 + 1 + payload[4])
            self.channels[channel_id].basic_reject(delivery_tag, requeue=False)
            _log.warning("dropped a message whose routing key is not text")
            return None

    def collect(self) -> None:
        if self._transport and self._transport.sock:
            # Otherwise it would wait for the peer to close TLS.
            self._transport.sock.settimeout(0)
        super().collect()


class Transport(pyamqp.Transport):  # type: ignore[misc]  # its base has no types
    Connection = _Connection
