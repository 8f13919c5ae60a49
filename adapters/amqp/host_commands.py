from adapters.amqp.codec import as_json
from adapters.amqp.outgoing import Message
from adapters.amqp.publisher import Publisher, Unroutable
from adapters.amqp.topology import COMMAND, MANMAN
from application.ports.host_commands import HostNotListening
from domain.host_command import HostCommand

# A host that was away for longer has reported and fetched everything as it came back.
_WORTH_SECONDS = 300.0


class AmqpHostCommands:
    """Commands go to the exchange `manman`, as `command.host.ID.COMMAND`."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def send(self, server_id: int, command: HostCommand) -> None:
        message = Message(
            MANMAN,
            f"{COMMAND}.{server_id}.{command}",
            as_json({"server_id": server_id, "command": command}),
            expires_after=_WORTH_SECONDS,
        )
        try:
            self._publisher.publish([message])
        except Unroutable:
            raise HostNotListening(
                f"the host of server {server_id} takes no commands: give it the RABBITMQ_URL of"
                " this API, virtual host included"
            ) from None
