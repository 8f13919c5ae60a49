import ipaddress
from urllib.parse import urlsplit


def checked_url(text: str) -> str:
    """Raises ValueError with a message that says what the URL must be.

    The provider decides who is an operator, so that it must be asked over TLS, except on this
    machine.
    """
    try:
        parsed = urlsplit(text)
        is_usable = (
            (
                parsed.scheme == "https"
                or (parsed.scheme == "http" and _is_this_machine(parsed.hostname))
            )
            and parsed.hostname
            and parsed.port != 0
            and "@" not in parsed.netloc
            and "#" not in text
            and text.isascii()
            and text.isprintable()
            and " " not in text
        )
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValueError("must be https://HOST/…, or http:// on this machine, without a user in it")
    return text


def _is_this_machine(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
