"""How long to wait before the next try."""

LONGEST_WAIT_SECONDS = 30.0
_FIRST_WAIT_SECONDS = 0.5


def wait_before_retry(
    failures: int, fraction: float, longest: float = LONGEST_WAIT_SECONDS
) -> float:
    """Seconds to wait after this many failures in a row (1 or more).

    Doubles from half a second up to 30 seconds, or less where `longest` is. `fraction`, from 0
    to 1, is random: it takes up to half of the wait off, so that hosts which failed together do
    not return together.
    """
    doubled = _FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 10)
    return min(LONGEST_WAIT_SECONDS, longest, doubled) * (1 - fraction / 2)
