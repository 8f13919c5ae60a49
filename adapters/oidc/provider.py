import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests

from adapters.oidc.url import checked_url
from adapters.oidc.verifying_key import VerifyingKey, verifying_keys

PATIENCE_SECONDS = 5.0
_MAX_ANSWER_BYTES = 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_MAX_KEYS = 100


class ProviderUnusable(Exception):
    """The message says why, and completes a sentence about a provider that was asked."""


class ProviderTooSlow(ProviderUnusable):
    def __init__(self) -> None:
        super().__init__(f"it does not answer within {PATIENCE_SECONDS:.0f} s")


@dataclass(frozen=True)
class OidcProvider:
    """Who issues tokens; where its keys are it says itself, unless a URL is given."""

    issuer: str
    jwks_url: str = ""
    # The CAs that are trusted; without it Mozilla's.
    ca_file: Path | None = None

    def keys(self) -> Sequence[VerifyingKey]:
        """Those with which it signs now, at least one. Raises ProviderUnusable."""
        url = self.jwks_url or self._discovered_jwks_url()
        published = self._fetch(url).get("keys")
        if not isinstance(published, list):
            raise ProviderUnusable(f"what {_shown(url)} answers is no JSON Web Key Set")
        if len(published) > _MAX_KEYS:
            raise ProviderUnusable(f"{_shown(url)} has more than {_MAX_KEYS} keys")
        keys = tuple(verifying_keys(published))
        if not keys:
            raise ProviderUnusable(
                f"{_shown(url)} has no key for RS256 and its like, ES256 and its like, or EdDSA"
            )
        return keys

    def _discovered_jwks_url(self) -> str:
        url = f"{self.issuer.removesuffix('/')}/.well-known/openid-configuration"
        document = self._fetch(url)
        issuer, jwks_url = document.get("issuer"), document.get("jwks_uri")
        if issuer != self.issuer:
            raise ProviderUnusable(
                f"{url} is of the issuer {str(issuer)[:200]!r}, which OIDC_ISSUER must be exactly"
            )
        try:
            return checked_url(str(jwks_url))
        except ValueError as error:
            raise ProviderUnusable(f"the jwks_uri in {url} {error}") from None

    def _fetch(self, url: str) -> dict[str, Any]:
        shown = _shown(url)
        try:
            document = json.loads(self._body(url))
        except requests.exceptions.SSLError:
            raise ProviderUnusable(
                f"{shown} shows no certificate that is trusted (OIDC_CA_CERT_PATH)"
            ) from None
        except requests.Timeout:
            raise ProviderTooSlow from None
        except requests.RequestException:
            raise ProviderUnusable(f"{shown} cannot be reached") from None
        except OSError:
            raise ProviderUnusable("the file at OIDC_CA_CERT_PATH cannot be read") from None
        except (ValueError, RecursionError):
            raise ProviderUnusable(f"what {shown} answers is no JSON") from None
        if not isinstance(document, dict):
            raise ProviderUnusable(f"what {shown} answers is no JSON object")
        return document

    def _body(self, url: str) -> bytes:
        # Packed, a small answer could become a large one.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        with requests.get(
            url,
            headers=headers,
            timeout=PATIENCE_SECONDS,
            verify=str(self.ca_file) if self.ca_file else True,
            # Without TLS only this machine is asked, and directly.
            proxies={"http": ""},
            # Nobody else is to say by which keys operators are known.
            allow_redirects=False,
            stream=True,
        ) as answer:
            if answer.status_code != HTTPStatus.OK:
                raise ProviderUnusable(
                    f"{_shown(url)} answers with HTTP status {answer.status_code}"
                )
            body = b""
            for part in answer.iter_content(_CHUNK_BYTES):
                body += part
                if len(body) > _MAX_ANSWER_BYTES:
                    raise ProviderUnusable(f"{_shown(url)} answers with more than 1 MiB")
            return body


def _shown(url: str) -> str:
    return url.partition("?")[0]
