from pydantic import Field, SecretStr

from entrypoints.settings import Settings


class CliSettings(Settings):
    api_address: str = Field("localhost:50051", description="HOST:PORT of the API")
    operator_key: SecretStr | None = Field(
        None, description="the API's OPERATOR_KEY, needed from other machines"
    )
