import threading
import time
from collections.abc import Sequence

from adapters.amqp.broker import Broker
from adapters.amqp.channel import ConfirmChannel, ReusableChannel
from adapters.amqp.outgoing import Message


class Unroutable(Exception):
    """No queue of the broker takes a message that must arrive."""


class Publisher:
    """Publishes, and returns once the broker has written to disk. Threads may share it."""

    def __init__(self, broker: Broker) -> None:
        self._seconds = broker.seconds
        self._lock = threading.Lock()
        self._channel = ReusableChannel(broker, lambda opened: opened)

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish all in this order. If it raises, some of them may be published.

        Raises BrokerUnavailable and Unroutable.
        """
        with self._lock:
            self._channel.use(lambda channel: self._publish(channel, messages))

    def close(self) -> None:
        with self._lock:
            self._channel.close()

    def _publish(self, channel: ConfirmChannel, messages: Sequence[Message]) -> None:
        # Sends all before it waits for confirms: waiting for each one is ten times slower.
        deadline = time.monotonic() + self._seconds
        for message in messages:
            channel.send(message, deadline)
        while not channel.all_confirmed:
            channel.receive(deadline)
        if channel.was_returned:
            raise Unroutable
