from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from entrypoints.api_address import ApiAddress, ApiClientSettings
from entrypoints.failures import ConfigurationError
from entrypoints.settings import Secret, bearer_token, setting


@dataclass(frozen=True, kw_only=True)
class CliSettings(ApiClientSettings):
    operator_key: Secret | None = setting(
        None,
        "the operator's key, the API's OPERATOR_KEY, or a token of its OIDC provider; needed from"
        " other machines, and on the API's own once there is one of an admin or a provider",
        bearer_token,
    )
    api_client_cert_path: Path | None = setting(
        None,
        "the operator's certificate, as `manmanv2 operators create --certificate` makes it, for the"
        " API's port for certificates; an OPERATOR_KEY counts before it",
        Path,
    )
    api_client_key_path: Path | None = setting(
        None, "the key of that certificate, where it is in a file of its own", Path
    )

    @property
    def api(self) -> ApiAddress:
        found = super().api
        if not found.tls or not self.api_client_cert_path:
            return found
        from adapters.grpc.tls.client_certificate import ClientCertificate

        client = ClientCertificate(
            self.api_client_cert_path, self.api_client_key_path or self.api_client_cert_path
        )
        return replace(found, tls=replace(found.tls, client=client))

    def check(self, given: Collection[str]) -> None:
        super().check(given)
        if self.api_client_key_path and not self.api_client_cert_path:
            raise ConfigurationError(
                "API_CLIENT_KEY_PATH: of no use without API_CLIENT_CERT_PATH; set that, or unset"
                " this."
            )
        if self.api_client_cert_path and not self.api.tls:
            raise ConfigurationError(
                "API_CLIENT_CERT_PATH: of no use, because API_ADDRESS asks for no TLS; write"
                f" https://{self.api.address}."
            )
