"""A token bucket: every call takes a token, and the bucket refills over time."""

from dataclasses import dataclass

# Seconds; far more than the rounding errors of floating point sums.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """It gains `per_second` tokens and holds at most `capacity`.

    Its state is one number, `full_at`: the time when it will be full, in seconds of any clock. For
    a bucket that was never used, or not for long, this is any time in the past.
    """

    per_second: float
    capacity: int

    @property
    def seconds_to_fill(self) -> float:
        """Seconds from empty to full."""
        return self.capacity / self.per_second

    def take(self, full_at: float, now: float) -> float | None:
        """Take a token. Returns the new `full_at`, or None if there is no token."""
        then = max(full_at, now) + 1 / self.per_second
        return then if then - now <= self.seconds_to_fill + _ROUNDING else None

    def wait(self, full_at: float, now: float) -> float:
        """Seconds until a token is available."""
        return max(0.0, full_at + 1 / self.per_second - self.seconds_to_fill - now)
