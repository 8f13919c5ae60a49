from adapters.amqp.codec import as_json
from adapters.amqp.outgoing import Message
from adapters.amqp.publisher import Publisher, Unroutable
from adapters.amqp.topology import COMMAND, MANMAN
from application.ports.host_commands import HostNotListening
from domain.host_command import HostCommand

# A host that was away for longer has reported and fetched everything when it returned.
_EXPIRY_SECONDS = 300.0


class AmqpHostCommands:
    """Commands go to the exchange `manman`, as `command.host.ID.COMMAND`."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def send(self, server_id: int, command: HostCommand) -> None:
        message = Message(
            MANMAN,
            f"{COMMAND}.{server_id}.{command}",
            as_json({"server_id": server_id, "command": command}),
            expires_after=_EXPIRY_SECONDS,
        )
        try:
            self._publisher.publish([message])
        except Unroutable:
            raise HostNotListening(
                f"the host of server {server_id} does not listen for commands: set its RABBITMQ_URL"
                " to that of this API, including the virtual host"
            ) from None
