"""How long to wait before the next try."""

MAX_WAIT_SECONDS = 30.0
_FIRST_WAIT_SECONDS = 0.5


def wait_before_retry(
    failures: int, fraction: float, longest: float = MAX_WAIT_SECONDS, least: float = 0.0
) -> float:
    """Seconds to wait after this many failures in a row (1 or more).

    Doubles from half a second up to 30 seconds, or less where `longest` is. `fraction`, from 0
    to 1, is random: it takes up to half of the wait off, so that hosts which failed together do
    not return together. So it puts up to half on what is the `least` that was asked for.
    """
    doubled = _FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 10)
    most = min(MAX_WAIT_SECONDS, longest)
    return max(min(most, doubled) * (1 - fraction / 2), min(most, least * (1 + fraction / 2)))
