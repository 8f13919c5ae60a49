"""py-amqp as we need it: no message and no peer ends a connection for ever, or waits for ever."""

import logging
import socket
from struct import unpack_from
from typing import Any

from amqp import exceptions, method_framing, spec
from kombu.transport import pyamqp

_log = logging.getLogger(__name__)

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


class Transport(pyamqp.Transport):  # type: ignore[misc]  # its base has no types
    Connection = _Connection
