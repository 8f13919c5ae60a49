from application.ports.host_commands import HostNotListening
from domain.host_command import HostCommand


class NoHostCommands:
    """Without a broker there is no way to a host: it calls, it is not called."""

    def send(self, server_id: int, command: HostCommand) -> None:
        raise HostNotListening(
            "hosts take commands over a broker, and this API has none: set its RABBITMQ_URL"
        )
