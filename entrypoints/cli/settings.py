from dataclasses import dataclass

from entrypoints.settings import Secret, Settings, bearer_token, host_and_port, setting


@dataclass(frozen=True, kw_only=True)
class CliSettings(Settings):
    api_address: str = setting("localhost:50051", "HOST:PORT of the API", host_and_port())
    operator_key: Secret | None = setting(
        None, "the API's OPERATOR_KEY, needed from other machines", bearer_token
    )
