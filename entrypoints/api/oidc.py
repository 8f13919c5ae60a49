"""The OIDC provider whose tokens operators may send."""

from typing import TYPE_CHECKING

from adapters.grpc.tls.trust import CaFileUnusable, read_ca_file, system_ca_bundles
from adapters.system.call_with_timeout import CallWithTimeout
from application.access.identify_by_token import IdentifyByToken
from entrypoints.api.settings import ApiSettings
from entrypoints.failures import ConfigurationError

if TYPE_CHECKING:
    from adapters.oidc.jwks_cache import JwksCache
    from adapters.oidc.provider import OidcProvider

# The imports are late: an API without a provider saves 12 MB.


def make_provider(settings: ApiSettings) -> "OidcProvider":
    """Raises ConfigurationError."""
    from adapters.oidc.provider import OidcProvider

    check_provider_ca(settings)
    system_bundles = (path for path in system_ca_bundles() if path.is_file())
    ca_file = settings.oidc_ca_cert_path or next(system_bundles, None)
    return OidcProvider(settings.oidc_issuer, settings.oidc_jwks_url, ca_file)


def make_provider_keys(settings: ApiSettings) -> "JwksCache | None":
    """None without a provider."""
    if not settings.oidc_issuer:
        return None
    from adapters.oidc.jwks_cache import JwksCache
    from adapters.oidc.provider import TIMEOUT_SECONDS, ProviderTooSlow

    # Without this timeout a provider that sends byte by byte would block an operators' thread
    # forever.
    fetch = CallWithTimeout(make_provider(settings).keys, TIMEOUT_SECONDS, ProviderTooSlow)
    return JwksCache(settings.oidc_issuer, fetch)


def make_identify_by_token(
    settings: ApiSettings, keys: "JwksCache | None"
) -> IdentifyByToken | None:
    if keys is None:
        return None
    from adapters.oidc.operator_tokens import OidcOperatorTokens

    tokens = OidcOperatorTokens(keys, settings.oidc_issuer, settings.oidc_audience)
    return IdentifyByToken(tokens, settings.claim_rules)


def check_provider_ca(settings: ApiSettings) -> None:
    """Raises ConfigurationError."""
    if settings.oidc_ca_cert_path:
        try:
            read_ca_file(settings.oidc_ca_cert_path)
        except CaFileUnusable:
            raise ConfigurationError(
                f"OIDC_CA_CERT_PATH: {settings.oidc_ca_cert_path} cannot be read or"
                " contains no PEM certificate",
                "set it to the file of the CA that issues the OIDC provider's certificate",
                setting="OIDC_CA_CERT_PATH",
            ) from None
