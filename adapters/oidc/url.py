import ipaddress
from urllib.parse import urlsplit


def checked_url(text: str) -> str:
    """Raises ValueError, whose message says what the URL must be.

    What decides who is an operator is not to be asked in the open, except on this machine.
    """
    try:
        parsed = urlsplit(text)
        usable = (
            (parsed.scheme == "https" or (parsed.scheme == "http" and _is_here(parsed.hostname)))
            and parsed.hostname
            and parsed.port != 0
            and "@" not in parsed.netloc
            and "#" not in text
            and text.isascii()
            and text.isprintable()
            and " " not in text
        )
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be https://HOST/…, or http:// on this machine, without a user in it")
    return text


def _is_here(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
