from dataclasses import dataclass

from entrypoints.api_address import ApiClientSettings
from entrypoints.settings import Secret, bearer_token, setting


@dataclass(frozen=True, kw_only=True)
class CliSettings(ApiClientSettings):
    operator_key: Secret | None = setting(
        None,
        "the operator's key, the API's OPERATOR_KEY, or a token of its OIDC provider; needed from"
        " other machines, and on the API's own once there is one of an admin or a provider",
        bearer_token,
    )
