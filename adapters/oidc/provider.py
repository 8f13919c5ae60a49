import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests

from adapters.oidc.url import checked_url
from adapters.oidc.verifying_key import VerifyingKey, verifying_keys

TIMEOUT_SECONDS = 5.0
_MAX_ANSWER_BYTES = 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_MAX_KEYS = 100


class ProviderUnusable(Exception):
    """The message says why, and completes a sentence about the provider."""


class ProviderTooSlow(ProviderUnusable):
    def __init__(self) -> None:
        super().__init__(f"it does not answer within {TIMEOUT_SECONDS:.0f} s")


@dataclass(frozen=True)
class OidcProvider:
    """Issues tokens. Its discovery document says where its keys are, unless `jwks_url` does."""

    issuer: str
    jwks_url: str = ""
    # The trusted CAs; without it, those of Mozilla.
    ca_file: Path | None = None

    def keys(self) -> Sequence[VerifyingKey]:
        """The keys with which it signs at present, at least one. Raises ProviderUnusable."""
        url = self.jwks_url or self._discovered_jwks_url()
        published = self._fetch(url).get("keys")
        if not isinstance(published, list):
            raise ProviderUnusable(f"the answer of {_loggable(url)} is not a JSON Web Key Set")
        if len(published) > _MAX_KEYS:
            raise ProviderUnusable(f"{_loggable(url)} has more than {_MAX_KEYS} keys")
        keys = tuple(verifying_keys(published))
        if not keys:
            raise ProviderUnusable(
                f"{_loggable(url)} has no key for the algorithms RS256, RS384, RS512, PS256, PS384,"
                " PS512, ES256, ES384, ES512 or EdDSA"
            )
        return keys

    def _discovered_jwks_url(self) -> str:
        url = f"{self.issuer.removesuffix('/')}/.well-known/openid-configuration"
        document = self._fetch(url)
        issuer, jwks_url = document.get("issuer"), document.get("jwks_uri")
        if issuer != self.issuer:
            raise ProviderUnusable(
                f"{url} names the issuer {str(issuer)[:200]!r}, and OIDC_ISSUER must be the same"
            )
        try:
            return checked_url(str(jwks_url))
        except ValueError as error:
            raise ProviderUnusable(f"the jwks_uri in {url} {error}") from None

    def _fetch(self, url: str) -> dict[str, Any]:
        loggable = _loggable(url)
        try:
            document = json.loads(self._body(url))
        except requests.exceptions.SSLError:
            raise ProviderUnusable(
                f"{loggable} presents no trusted certificate (OIDC_CA_CERT_PATH)"
            ) from None
        except requests.Timeout:
            raise ProviderTooSlow from None
        except requests.RequestException:
            raise ProviderUnusable(f"{loggable} cannot be reached") from None
        except OSError:
            raise ProviderUnusable("the file at OIDC_CA_CERT_PATH cannot be read") from None
        except (ValueError, RecursionError):
            raise ProviderUnusable(f"the answer of {loggable} is not JSON") from None
        if not isinstance(document, dict):
            raise ProviderUnusable(f"the answer of {loggable} is not a JSON object")
        return document

    def _body(self, url: str) -> bytes:
        # A small compressed answer could become a large one.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        with requests.get(
            url,
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            verify=str(self.ca_file) if self.ca_file else True,
            # Without TLS only this machine may be the provider, without a proxy.
            proxies={"http": ""},
            # Only the configured URL may decide which keys identify operators.
            allow_redirects=False,
            stream=True,
        ) as answer:
            if answer.status_code != HTTPStatus.OK:
                raise ProviderUnusable(
                    f"{_loggable(url)} answers with HTTP status {answer.status_code}"
                )
            body = b""
            for part in answer.iter_content(_CHUNK_BYTES):
                body += part
                if len(body) > _MAX_ANSWER_BYTES:
                    raise ProviderUnusable(f"{_loggable(url)} answers with more than 1 MiB")
            return body


def _loggable(url: str) -> str:
    """Without the query, which may contain a secret."""
    return url.partition("?")[0]
