import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from amqp import exceptions
from kombu import Connection

from adapters.amqp.broker import Broker
from adapters.amqp.outgoing import Message, send
from adapters.amqp.topology import declare_exchanges

Use = TypeVar("Use")
Result = TypeVar("Result")


class ConfirmChannel:
    """A channel for publishing with confirms, on a connection of its own.

    Raises what kombu raises: for use within the broker's `translate_errors`.
    """

    def __init__(self, broker: Broker) -> None:
        self._published = 0
        # By delivery tag, because confirms may arrive in another order.
        self._unconfirmed: set[int] = set()
        self._refused = False
        # Whether no queue took a message that must arrive.
        self.was_returned = False
        self._connection: Connection = broker.connect()
        try:
            self.channel: Any = self._connection.channel()
            declare_exchanges(self.channel)
            self.channel.confirm_select()
        except BaseException:
            self.discard()
            raise
        self.channel.events["basic_ack"].add(self._on_ack)
        self.channel.events["basic_nack"].add(self._on_nack)
        self.channel.events["basic_return"].add(self._on_return)

    @property
    def all_confirmed(self) -> bool:
        """Whether the broker has written every routable message to disk."""
        return not self._unconfirmed

    def send(self, message: Message, deadline: float) -> None:
        """`deadline` is a time of the monotonic clock."""
        send(self.channel, message, _seconds_until(deadline))
        self._published += 1
        self._unconfirmed.add(self._published)

    def receive(self, deadline: float) -> None:
        """Process the broker's next frame. `deadline` is a time of the monotonic clock."""
        self._connection.drain_events(timeout=_seconds_until(deadline))
        if self._refused:
            raise exceptions.MessageNacked

    def close(self) -> None:
        with suppress(exceptions.AMQPError, OSError):
            self._connection.release()

    def discard(self) -> None:
        # Closes without a handshake: a broker that does not answer would delay it.
        with suppress(exceptions.AMQPError, OSError):
            self._connection.collect()

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:
        if multiple:
            self._unconfirmed = {tag for tag in self._unconfirmed if tag > delivery_tag}
        else:
            self._unconfirmed.discard(delivery_tag)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:
        self._refused = True

    def _on_return(self, *_: Any) -> None:
        self.was_returned = True


def _seconds_until(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class ReusableChannel(Generic[Use]):
    """An object on a channel that is kept from one use to the next.

    `begin` creates the object on a new channel. If a use raises, the connection is discarded.
    """

    def __init__(self, broker: Broker, begin: Callable[[ConfirmChannel], Use]) -> None:
        self._broker = broker
        self._begin = begin
        self._current: tuple[ConfirmChannel, Use] | None = None

    def use(self, use: Callable[[Use], Result]) -> Result:
        """Raises BrokerUnavailable, and whatever `use` raises."""
        with self._broker.translate_errors():
            if self._current:
                try:
                    return self._use(*self._current, use)
                except TimeoutError:
                    raise
                except (exceptions.ConnectionError, OSError):
                    # The broker may have restarted since the last use, so try a new channel.
                    pass
            return self._use(ConfirmChannel(self._broker), None, use)

    def close(self) -> None:
        """The next use opens another channel."""
        if self._current:
            self._current[0].close()
        self._current = None

    def _use(
        self, opened: ConfirmChannel, current: Use | None, use: Callable[[Use], Result]
    ) -> Result:
        try:
            if current is None:
                current = self._begin(opened)
                self._current = (opened, current)
            return use(current)
        except BaseException:
            opened.discard()
            self._current = None
            raise
