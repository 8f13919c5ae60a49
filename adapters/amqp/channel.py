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
    """A channel to publish on, with confirms, on a connection of its own.

    Raises what kombu raises: for use within the broker's `own_errors`.
    """

    def __init__(self, broker: Broker) -> None:
        self._published = 0
        # By number: confirms may overtake each other.
        self._unconfirmed: set[int] = set()
        self._refused = False
        # Whether a message that must arrive was taken by no queue.
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
        """Whether the broker has all that was sent on disk, where it was routed at all."""
        return not self._unconfirmed

    def send(self, message: Message, deadline: float) -> None:
        """Until a moment of the monotonic clock."""
        send(self.channel, message, _left_until(deadline))
        self._published += 1
        self._unconfirmed.add(self._published)

    def receive(self, deadline: float) -> None:
        """Take what the broker says next, until a moment of the monotonic clock."""
        self._connection.drain_events(timeout=_left_until(deadline))
        if self._refused:
            raise exceptions.MessageNacked

    def close(self) -> None:
        with suppress(exceptions.AMQPError, OSError):
            self._connection.release()

    def discard(self) -> None:
        # Without a word: who does not listen would be waited for.
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


def _left_until(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class ReusableChannel(Generic[Use]):
    """What is used over a channel, kept from one use to the next.

    `begin` makes it on a fresh channel. Whenever a use raises, its connection is thrown away.
    """

    def __init__(self, broker: Broker, begin: Callable[[ConfirmChannel], Use]) -> None:
        self._broker = broker
        self._begin = begin
        self._kept: tuple[ConfirmChannel, Use] | None = None

    def use(self, use: Callable[[Use], Result]) -> Result:
        """Raises BrokerUnavailable, and what the use raises."""
        with self._broker.translate_errors():
            if self._kept:
                try:
                    return self._use(*self._kept, use)
                except TimeoutError:
                    raise
                except (exceptions.ConnectionError, OSError):
                    # The broker may have been restarted since the last time, which says nothing
                    # of now.
                    pass
            return self._use(ConfirmChannel(self._broker), None, use)

    def close(self) -> None:
        """The next use makes another."""
        if self._kept:
            self._kept[0].close()
        self._kept = None

    def _use(
        self, opened: ConfirmChannel, kept: Use | None, use: Callable[[Use], Result]
    ) -> Result:
        try:
            if kept is None:
                kept = self._begin(opened)
                self._kept = (opened, kept)
            return use(kept)
        except BaseException:
            opened.discard()
            self._kept = None
            raise
