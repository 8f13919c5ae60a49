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

_COMMANDS = {command.value: command for command in HostCommand}


@dataclass
class AmqpCommands:
    """Commands from the host's own queue. A thread receives them and calls `wake`."""

    broker: Broker
    wake: Callable[[], None]
    _consumer: BatchConsumer | None = field(init=False, default=None)
    _server_id: int | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _received: set[HostCommand] = field(init=False, default_factory=set)

    def listen(self, server_id: int) -> None:
        if server_id == self._server_id:
            return
        self.close()
        self._server_id = server_id
        self._consumer = BatchConsumer(
            self.broker,
            command_queue(server_id),
            partial(self._handle, server_id),
            content="operator commands",
        )
        # A daemon thread, because a stop must not wait for a broker that hangs.
        threading.Thread(target=self._consumer.run, name="commands", daemon=True).start()

    def take(self) -> Collection[HostCommand]:
        with self._lock:
            commands, self._received = self._received, set()
        return commands

    def close(self) -> None:
        """Stop listening."""
        if self._consumer:
            self._consumer.stop()
        self._consumer = self._server_id = None

    def _handle(self, server_id: int, messages: Sequence[IncomingMessage]) -> Sequence[Outcome]:
        return [self._outcome(server_id, message) for message in messages]

    def _outcome(self, server_id: int, message: IncomingMessage) -> Outcome:
        name = message.routing_key.removeprefix(f"{COMMAND}.{server_id}.")
        command = _COMMANDS.get(name)
        if command is None:
            return Rejected(f"unknown command: this host knows {', '.join(_COMMANDS)}")
        _log.info("An operator requested %s.", command, extra={"server_id": server_id})
        with self._lock:
            self._received.add(command)
        self.wake()
        return Answered({})
