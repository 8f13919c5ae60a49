"""Where a client finds the API, and whether it speaks TLS with it."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from adapters.grpc.tls.trust import CaFileUnusable, Tls, read_ca_file
from entrypoints.failures import ConfigurationError
from entrypoints.settings import Settings, boolean, host_and_port, setting

HTTPS_PORT = 443

_host_and_port = host_and_port()


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """HOST:PORT, and how to speak TLS there; None speaks without."""

    address: str
    tls: Tls | None


def _given_address(text: str) -> str:
    try:
        _split(text)
    except ValueError:
        raise ValueError(
            "must be HOST:PORT, as localhost:50051, or https://HOST or https://HOST:PORT for TLS"
        ) from None
    return text


def _split(text: str) -> tuple[str, str]:
    """The scheme, empty where there is none, and HOST:PORT. Raises ValueError."""
    scheme, marked, rest = text.rpartition("://")
    if scheme.lower() not in ("", "http", "https") or (marked and not scheme):
        raise ValueError
    if scheme and re.search("[@?#]", rest):
        raise ValueError
    if scheme:
        rest = rest.removesuffix("/")
    if scheme.lower() == "https" and not re.search(r":\d+$", re.sub(r"\[.*\]", "", rest)):
        rest = f"{rest}:{HTTPS_PORT}"
    return scheme.lower(), _host_and_port(rest)


def _ca_file(text: str) -> Path:
    try:
        read_ca_file(Path(text))
    except CaFileUnusable as error:
        raise ValueError(str(error)) from None
    return Path(text)


def _server_name(text: str) -> str:
    try:
        _host_and_port(f"{text}:{HTTPS_PORT}")
    except ValueError:
        raise ValueError("must be a name or an address alone, as api.example.com") from None
    return text.strip("[]")


@dataclass(frozen=True, kw_only=True)
class ApiClientSettings(Settings):
    api_address: str = setting(
        "localhost:50051",
        "HOST:PORT of the API; https://HOST or https://HOST:PORT speaks TLS with it,"
        " http://HOST:PORT does not",
        _given_address,
    )
    api_use_tls: bool | None = setting(
        None,
        "true speaks TLS with the API, false does not; when not set, API_ADDRESS says so by"
        " https:// or the port 443",
        boolean,
    )
    api_ca_cert_path: Path | None = setting(
        None,
        "the CA of the API's certificate, when it is none that the machine trusts; read again when"
        " it changes",
        _ca_file,
    )
    api_tls_server_name: str = setting(
        "",
        "whom the API's certificate must be for, when it is not for the host in API_ADDRESS",
        _server_name,
    )

    @property
    def api(self) -> ApiAddress:
        _, address = _split(self.api_address)
        tls = Tls(self.api_ca_cert_path, self.api_tls_server_name) if self._speaks_tls() else None
        return ApiAddress(address, tls)

    def _speaks_tls(self) -> bool:
        scheme, address = _split(self.api_address)
        if scheme or self.api_use_tls is not None:
            return scheme == "https" or bool(self.api_use_tls)
        return address.endswith(f":{HTTPS_PORT}")

    def check(self, given: Collection[str]) -> None:
        scheme, address = _split(self.api_address)
        if scheme == "https" and self.api_use_tls is False:
            raise ConfigurationError(
                "API_USE_TLS is false, but API_ADDRESS begins with https://: unset one, or write"
                f" {address}."
            )
        if scheme == "http" and self.api_use_tls:
            raise ConfigurationError(
                "API_USE_TLS is true, but API_ADDRESS begins with http://: write https://, or unset"
                " API_USE_TLS."
            )
        in_the_open = scheme == "http" or self.api_use_tls is False
        only_for_tls = [
            name.upper() for name in ("api_ca_cert_path", "api_tls_server_name") if name in given
        ]
        if only_for_tls and not self._speaks_tls() and not in_the_open:
            named = " and ".join(only_for_tls)
            raise ConfigurationError(
                f"{named}: of no use, because API_ADDRESS asks for no TLS; write https://{address},"
                " or API_USE_TLS=false to speak without."
            )
