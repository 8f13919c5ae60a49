"""Exponential backoff with jitter: how long to wait before the next attempt."""

MAX_DELAY_SECONDS = 30.0
_FIRST_DELAY_SECONDS = 0.5


def retry_delay(
    failures: int, jitter: float, max_seconds: float = MAX_DELAY_SECONDS, min_seconds: float = 0.0
) -> float:
    """Seconds to wait after this many failures in a row (1 or more).

    The delay doubles from half a second up to 30 seconds, or up to `max_seconds` if that is less.
    `jitter` is a random number from 0 to 1 that removes up to half of the delay, so that hosts
    that failed together do not retry together. For the same reason it adds up to half to
    `min_seconds`, the delay that the other side asked for.
    """
    doubled = _FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 10)
    limit = min(MAX_DELAY_SECONDS, max_seconds)
    return max(min(limit, doubled) * (1 - jitter / 2), min(limit, min_seconds * (1 + jitter / 2)))
