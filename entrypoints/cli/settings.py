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
        "An operator's key, the API's own OPERATOR_KEY, or a token of its OIDC provider. Always"
        " needed from other machines; on the API's machine only once an admin's key or an OIDC"
        " provider exists",
        bearer_token,
    )
    api_client_cert_path: Path | None = setting(
        None,
        "Operator's client certificate, made by `manmanv2 operators create --certificate`, for the"
        " API's mutual-TLS port. OPERATOR_KEY takes precedence",
        Path,
    )
    api_client_key_path: Path | None = setting(
        None, "Private key of that certificate, if it is in a file of its own", Path
    )

    @property
    def api(self) -> ApiAddress:
        address = super().api
        if not address.tls or not self.api_client_cert_path:
            return address
        from adapters.grpc.tls.client_certificate import ClientCertificate

        client = ClientCertificate(
            self.api_client_cert_path, self.api_client_key_path or self.api_client_cert_path
        )
        return replace(address, tls=replace(address.tls, client=client))

    def check(self, given: Collection[str]) -> None:
        super().check(given)
        if self.api_client_key_path and not self.api_client_cert_path:
            raise ConfigurationError(
                "API_CLIENT_KEY_PATH: has no effect without API_CLIENT_CERT_PATH",
                "set that too, or unset this",
                separator="; ",
                setting="API_CLIENT_KEY_PATH",
            )
        if self.api_client_cert_path and not self.api.tls:
            raise ConfigurationError(
                "API_CLIENT_CERT_PATH: has no effect because API_ADDRESS does not use TLS",
                f"set API_ADDRESS to https://{self.api.address}",
                separator="; ",
                setting="API_CLIENT_CERT_PATH",
            )
