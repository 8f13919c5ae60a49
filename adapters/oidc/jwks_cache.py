import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from adapters.oidc.provider import ProviderUnusable
from adapters.oidc.verifying_key import VerifyingKey
from application.host.transient_failure_log import TransientFailureLog

_log = logging.getLogger(__name__)

COOL_DOWN_SECONDS = 30.0
FRESH_SECONDS = 3600.0


@dataclass
class JwksCache:
    """A provider's keys as it last told them; while it is away those of before stay.

    `fetch` raises ProviderUnusable, within seconds. It is called by one at a time, and not again
    before the cool-down is over, however it ended and whoever asks.
    """

    issuer: str
    fetch: Callable[[], Sequence[VerifyingKey]]
    monotonic: Callable[[], float] = time.monotonic
    known: Sequence[VerifyingKey] = field(init=False, default=())
    _is_away: bool = field(init=False, default=True)
    _not_before: float = field(init=False)
    _stale_at: float = field(init=False)
    _asking: threading.Lock = field(init=False, default_factory=threading.Lock)
    _trouble: TransientFailureLog = field(init=False)

    def __post_init__(self) -> None:
        self._not_before = self._stale_at = self.monotonic()
        self._trouble = TransientFailureLog(
            _log, f"the OIDC provider {self.issuer} can be asked again"
        )

    @property
    def may_be_incomplete(self) -> bool:
        """Whether a key that is not known may be the provider's all the same."""
        return self._is_away or self._asking.locked()

    def refresh_if_stale(self) -> None:
        """To be called again and again, when nobody waits for it."""
        if self._is_away or self.monotonic() >= self._stale_at:
            self.refresh()

    def refresh(self) -> None:
        """Unless somebody else does, for whom nobody waits, or it is too early."""
        if not self._asking.acquire(blocking=False):
            return
        try:
            if self.monotonic() >= self._not_before:
                self._ask()
        finally:
            self._asking.release()

    def _ask(self) -> None:
        try:
            keys = self.fetch()
        except ProviderUnusable as error:
            self._is_away = True
            until_then = (
                "the keys that it had go on being used" if self.known else "no token is taken"
            )
            self._trouble.failed(
                f"the OIDC provider {self.issuer} (OIDC_ISSUER) cannot be asked for its keys:"
                f" {error}; until it can, {until_then}"
            )
        else:
            if keys != self.known:
                _log.info("keys of the OIDC provider %s: %d", self.issuer, len(keys))
            self.known, self._is_away = keys, False
            self._stale_at = self.monotonic() + FRESH_SECONDS
            self._trouble.recovered()
        finally:
            self._not_before = self.monotonic() + COOL_DOWN_SECONDS
