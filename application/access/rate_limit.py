import time
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.errors import TooManyCalls
from domain.token_bucket import TokenBucket

# The shared bucket of names for which there is no room.
_OTHERS = ""


@dataclass
class RateLimit:
    """A bucket for each name, for up to `max_names` names at once. All further names share one
    bucket: a flood of invented names then takes no memory, and no name gets a full bucket by being
    forgotten.

    `whose` completes the sentence "too many calls …". Not safe for use by several threads.
    """

    bucket: TokenBucket
    whose: str
    max_names: int = 20_000
    monotonic: Callable[[], float] = time.monotonic
    # By name, in the order of last use.
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
        while len(self._full_at) >= self.max_names:
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now:
                return False
            # A bucket that is full again is no different from one that was never used.
            del self._full_at[oldest]
        return True
