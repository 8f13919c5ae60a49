import threading
import time
from collections.abc import Sequence

from adapters.amqp.broker import Broker
from adapters.amqp.channel import ConfirmChannel, ReusableChannel
from adapters.amqp.outgoing import Message


class Unroutable(Exception):
    """The broker has no queue that takes a message that must arrive."""


class Publisher:
    """Publishes, and returns once the broker has it on disk; safe to share between threads."""

    def __init__(self, broker: Broker) -> None:
        self._seconds = broker.seconds
        self._one_at_a_time = threading.Lock()
        self._channel = ReusableChannel(broker, lambda opened: opened)

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish all, in this order; when it raises, some of them may be published.

        Raises BrokerUnavailable and Unroutable.
        """
        with self._one_at_a_time:
            self._channel.use(lambda channel: self._publish(channel, messages))

    def close(self) -> None:
        with self._one_at_a_time:
            self._channel.close()

    def _publish(self, channel: ConfirmChannel, messages: Sequence[Message]) -> None:
        # Many are on their way at once: waited for one by one, a tenth of them would be.
        deadline = time.monotonic() + self._seconds
        for message in messages:
            channel.send(message, deadline)
        while not channel.all_confirmed:
            channel.receive(deadline)
        if channel.was_returned:
            raise Unroutable
