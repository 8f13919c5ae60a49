from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from domain.errors import InvalidField
from domain.naming import check_environment, check_name
from entrypoints.settings import Secret, ServiceSettings, host_and_port, secret, setting, switch


def _by_the_rules(check: Callable[[str], None]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            check(text)
        except InvalidField as error:
            raise ValueError(f"{error.problem}: choose another one") from None
        return text

    return parse


def _socket_path(text: str) -> Path:
    if ":" in text:
        raise ValueError("must be a path alone, as /var/run/docker.sock, without unix://")
    return Path(text)


@dataclass(frozen=True, kw_only=True)
class HostSettings(ServiceSettings):
    api_address: str = setting("localhost:50051", "HOST:PORT of the API", host_and_port())
    registration_key: Secret | None = setting(
        None, "what the API wants of a host that joins; the same as the API's", secret
    )
    environment: str = setting(
        "",
        "as production or dev; makes the name HOSTNAME-ENVIRONMENT, which stays",
        _by_the_rules(check_environment),
    )
    server_name: str = setting(
        "", "the name, when it shall be another one", _by_the_rules(check_name)
    )
    docker_socket: Path = setting(
        Path("/var/run/docker.sock"), "path of the Docker engine's socket", _socket_path
    )
    docker_optional: bool = setting(
        False, "true uses the machine's own figures while Docker does not answer", switch
    )
    config_dir: Path | None = setting(
        None,
        "folder to keep the server's configuration in, a file NAME.json for each document; when"
        " not set, none is fetched",
        Path,
    )
