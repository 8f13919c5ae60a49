"""The address of the API, and whether a client uses TLS."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from adapters.grpc.tls.trust import CaFileUnusable, Tls, read_ca_file
from application.ports.diagnosis import InvalidValue, diagnosis_of
from entrypoints.failures import ConfigurationError
from entrypoints.settings import Settings, boolean, host_and_port, setting

HTTPS_PORT = 443

_host_and_port = host_and_port()


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """HOST:PORT, and how to use TLS; None means without TLS."""

    address: str
    tls: Tls | None


def _checked_address(text: str) -> str:
    try:
        _split(text)
    except ValueError:
        raise ValueError(
            "must be HOST:PORT, for example localhost:50051, or https://HOST or https://HOST:PORT"
            " for TLS"
        ) from None
    return text


def _split(text: str) -> tuple[str, str]:
    """The scheme, empty if there is none, and HOST:PORT. Raises ValueError."""
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
        raise InvalidValue.of(diagnosis_of(error)) from None
    return Path(text)


def _server_name(text: str) -> str:
    try:
        _host_and_port(f"{text}:{HTTPS_PORT}")
    except ValueError:
        raise ValueError(
            "must be a host name or an address alone, for example api.example.com"
        ) from None
    return text.strip("[]")


@dataclass(frozen=True, kw_only=True)
class ApiClientSettings(Settings):
    api_address: str = setting(
        "localhost:50051",
        "Address of the API: HOST:PORT, or with TLS https://HOST or https://HOST:PORT."
        " http://HOST:PORT is without TLS",
        _checked_address,
    )
    api_use_tls: bool | None = setting(
        None,
        "Whether to use TLS: true or false. If not set, TLS is used if API_ADDRESS begins with"
        " https:// or its port is 443",
        boolean,
    )
    api_ca_cert_path: Path | None = setting(
        None,
        "CA file for the API's certificate. Needed only if this machine does not already trust that"
        " CA. Changes are picked up without a restart",
        _ca_file,
    )
    api_tls_server_name: str = setting(
        "",
        "Name in the API's certificate, if it differs from the host in API_ADDRESS",
        _server_name,
    )

    @property
    def api(self) -> ApiAddress:
        _, address = _split(self.api_address)
        tls = Tls(self.api_ca_cert_path, self.api_tls_server_name) if self._uses_tls() else None
        return ApiAddress(address, tls)

    def _uses_tls(self) -> bool:
        scheme, address = _split(self.api_address)
        if scheme or self.api_use_tls is not None:
            return scheme == "https" or bool(self.api_use_tls)
        return address.endswith(f":{HTTPS_PORT}")

    def check(self, set_fields: Collection[str]) -> None:
        scheme, address = _split(self.api_address)
        if scheme == "https" and self.api_use_tls is False:
            raise ConfigurationError(
                "API_USE_TLS is false, but API_ADDRESS begins with https://",
                f"unset one, or write {address}",
            )
        if scheme == "http" and self.api_use_tls:
            raise ConfigurationError(
                "API_USE_TLS is true, but API_ADDRESS begins with http://",
                "write https://, or unset API_USE_TLS",
            )
        is_plaintext_chosen = scheme == "http" or self.api_use_tls is False
        tls_settings = [
            name.upper()
            for name in ("api_ca_cert_path", "api_tls_server_name")
            if name in set_fields
        ]
        if tls_settings and not self._uses_tls() and not is_plaintext_chosen:
            names = " and ".join(tls_settings)
            raise ConfigurationError(
                f"{names}: without effect, because API_ADDRESS does not use TLS",
                f"set API_ADDRESS to https://{address}, or API_USE_TLS=false to stay without TLS",
                setting=names,
            )
