import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from adapters.amqp.batch_consumer import Answered, BatchConsumer, IncomingMessage, Outcome, Rejected
from adapters.amqp.broker import Broker
from adapters.amqp.topology import COMMAND, command_queue
from domain.host_command import HostCommand

_log = logging.getLogger(__name__)

_KNOWN = {command.value: command for command in HostCommand}


@dataclass
class AmqpCommands:
    """Commands from the host's own queue, taken by a thread that `wake` s whoever rests."""

    broker: Broker
    wake: Callable[[], None]
    _inbox: BatchConsumer | None = field(init=False, default=None)
    _server_id: int | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _arrived: set[HostCommand] = field(init=False, default_factory=set)

    def listen(self, server_id: int) -> None:
        if server_id == self._server_id:
            return
        self.close()
        self._server_id = server_id
        self._inbox = BatchConsumer(
            self.broker, command_queue(server_id), partial(self._handle, server_id)
        )
        # It ends with the process: a stop must not wait for a broker that hangs.
        threading.Thread(target=self._inbox.run, name="commands", daemon=True).start()

    def take(self) -> Collection[HostCommand]:
        with self._lock:
            taken, self._arrived = self._arrived, set()
        return taken

    def close(self) -> None:
        """Listen no more."""
        if self._inbox:
            self._inbox.stop()
        self._inbox = self._server_id = None

    def _handle(self, server_id: int, deliveries: Sequence[IncomingMessage]) -> Sequence[Outcome]:
        return [self._outcome(server_id, delivery) for delivery in deliveries]

    def _outcome(self, server_id: int, delivery: IncomingMessage) -> Outcome:
        name = delivery.routing_key.removeprefix(f"{COMMAND}.{server_id}.")
        command = _KNOWN.get(name)
        if command is None:
            return Rejected(f"this host knows no such command, only {', '.join(_KNOWN)}")
        _log.info("Asked for %s by an operator.", command, extra={"server_id": server_id})
        with self._lock:
            self._arrived.add(command)
        self.wake()
        return Answered({})
