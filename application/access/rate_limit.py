import time
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.errors import TooManyCalls
from domain.token_bucket import TokenBucket

# Whoever comes when that many were seen of late has one bucket with all others who do.
_OTHERS = ""


@dataclass
class RateLimit:
    """A bucket for each name, for so many names at once: others share one, so that a flood of
    made-up names takes neither memory nor, by being forgotten, a full bucket each time.

    `whose` completes the sentence "too many calls …". Not to be used by several threads.
    """

    bucket: TokenBucket
    whose: str
    most_names: int = 20_000
    monotonic: Callable[[], float] = time.monotonic
    # By name, those that were used last at the end.
    _full_at: dict[str, float] = field(init=False, default_factory=dict)

    def take(self, name: str) -> None:
        """Raises TooManyCalls."""
        now = self.monotonic()
        full_at = self._full_at.pop(name, None)
        if full_at is None:
            if not self._has_room(now):
                name = _OTHERS
            full_at = self._full_at.pop(name, now)
        then = self.bucket.take(full_at, now)
        self._full_at[name] = full_at if then is None else then
        if then is None:
            raise TooManyCalls(self.whose, self.bucket.wait(full_at, now))

    def _has_room(self, now: float) -> bool:
        while len(self._full_at) >= self.most_names:
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now:
                return False
            # One that is full again is like one that was never used.
            del self._full_at[oldest]
        return True
