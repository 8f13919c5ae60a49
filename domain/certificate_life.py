"""When the holder of a certificate renews it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

# A certificate is valid from this long before it is issued, because some clocks are slow.
BACKDATED = timedelta(minutes=5)

_MIN_WAIT_SECONDS = 5.0
_MAX_WAIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class CertificateLife:
    """Begin and end of the validity, in seconds of a monotonic clock."""

    begins: float
    ends: float

    @classmethod
    def just_issued(cls, valid_from: datetime, expires: datetime, now: float) -> Self:
        """Use only the lifetime in the certificate: the issuer's clock may differ from this one."""
        return cls(now, now + _lifetime(valid_from, expires))

    @classmethod
    def loaded(cls, valid_from: datetime, expires: datetime, today: datetime, now: float) -> Self:
        """The life of a certificate that was issued earlier; `today` is this machine's clock.

        A slow clock does not extend a certificate beyond the lifetime it was issued for.
        """
        lifetime = _lifetime(valid_from, expires)
        ends = now + min(lifetime, (expires - today).total_seconds())
        return cls(ends - lifetime, ends)

    def is_over(self, now: float) -> bool:
        return now >= self.ends

    def is_half_over(self, now: float) -> bool:
        return now >= (self.begins + self.ends) / 2


def wait_before_renewing(attempts: int) -> float:
    """Seconds to wait after this many attempts (1 or more): doubles from five seconds up to ten
    minutes."""
    return min(_MAX_WAIT_SECONDS, _MIN_WAIT_SECONDS * 2.0 ** min(attempts - 1, 10))


def _lifetime(valid_from: datetime, expires: datetime) -> float:
    lifetime = expires - valid_from
    # Another issuer may not backdate its certificates.
    return (lifetime - BACKDATED if lifetime > BACKDATED else lifetime).total_seconds()
