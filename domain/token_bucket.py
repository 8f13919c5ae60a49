"""How often something may be done: each time takes a token from a bucket that fills by itself."""

from dataclasses import dataclass

# Seconds, far more than sums of floating point numbers are off by.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """`per_second` tokens come into it, and it holds up to `most`.

    What is in it at a moment is told by when it will be full, in seconds of any clock; one that was
    never used, or not for long, is full since any time that has passed.
    """

    per_second: float
    most: int

    @property
    def seconds_to_fill(self) -> float:
        """Seconds from empty to full."""
        return self.most / self.per_second

    def take(self, full_at: float, now: float) -> float | None:
        """When it will be full after a token was taken; None where there is none to take."""
        then = max(full_at, now) + 1 / self.per_second
        return then if then - now <= self.seconds_to_fill + _ROUNDING else None

    def wait(self, full_at: float, now: float) -> float:
        """Seconds until there is a token."""
        return max(0.0, full_at + 1 / self.per_second - self.seconds_to_fill - now)
