"""When a certificate is renewed by whoever holds it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

# A certificate says that it began so long before it was issued, for clocks that are slow.
BACKDATED = timedelta(minutes=5)

_FIRST_WAIT_SECONDS = 5.0
_MAX_WAIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class CertificateLife:
    """From when until when, in seconds of a clock that nobody sets."""

    begins: float
    ends: float

    @classmethod
    def just_issued(cls, valid_from: datetime, expires: datetime, now: float) -> Self:
        """By what the certificate says alone: the clock that it was made by may be another."""
        return cls(now, now + _lifetime(valid_from, expires))

    @classmethod
    def loaded(cls, valid_from: datetime, expires: datetime, today: datetime, now: float) -> Self:
        """Of one that was issued at some time before; `today` is what this machine's clock says.

        One that is slow gives no certificate more than it was issued for.
        """
        lifetime = _lifetime(valid_from, expires)
        ends = now + min(lifetime, (expires - today).total_seconds())
        return cls(ends - lifetime, ends)

    def is_over(self, now: float) -> bool:
        return now >= self.ends

    def is_half_over(self, now: float) -> bool:
        return now >= (self.begins + self.ends) / 2


def wait_before_renewing(attempts: int) -> float:
    """Seconds to leave between attempts, of which there were so many (1 or more): it doubles from
    five seconds up to ten minutes."""
    return min(_MAX_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 10))


def _lifetime(valid_from: datetime, expires: datetime) -> float:
    lifetime = expires - valid_from
    # Of an issuer with other habits.
    return (lifetime - BACKDATED if lifetime > BACKDATED else lifetime).total_seconds()
