"""The URLs at which an OIDC provider may be asked."""

import pytest

from adapters.oidc.url import checked_url


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.com",
        "https://id.example.com:8443/realms/fleet",
        "https://id.example.com/keys?version=2",
        "http://localhost:8080/",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
    ],
)
def test_a_url_with_tls_or_on_this_machine_is_accepted(url: str) -> None:
    assert checked_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("", "id.example.com", "http://id.example.com", "http://10.0.0.7", "ftp://localhost"),
        *("https://", "https://id.example.com:0", "https://id.example.com:x", "https://a b"),
        *("https://us:er@id.example.com", "https://id.example.com/#x", "https://[::1"),
        *("http://localhost.example.com", "http://127.0.0.1@id.example.com", "https://ä.example"),
    ],
)
def test_a_url_without_tls_or_with_a_user_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be https"):
        checked_url(url)
