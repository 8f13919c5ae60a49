from application.ports.host_commands import HostNotListening
from domain.host_command import HostCommand


class NoHostCommands:
    """Without a broker no host can be reached: hosts call the API, not the other way round."""

    def send(self, server_id: int, command: HostCommand) -> None:
        raise HostNotListening(
            "hosts receive commands through a broker, and this API has none: set RABBITMQ_URL on"
            " the API"
        )
