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
    """The keys that a provider last published. While it is unavailable, the previous keys stay.

    `fetch` raises ProviderUnusable within seconds. Only one thread calls it at a time, and after
    each call, failed or not, no thread calls it again before COOL_DOWN_SECONDS are over.
    """

    issuer: str
    fetch: Callable[[], Sequence[VerifyingKey]]
    monotonic: Callable[[], float] = time.monotonic
    known: Sequence[VerifyingKey] = field(init=False, default=())
    _is_unavailable: bool = field(init=False, default=True)
    _not_before: float = field(init=False)
    _stale_at: float = field(init=False)
    _fetching: threading.Lock = field(init=False, default_factory=threading.Lock)
    _failures: TransientFailureLog = field(init=False)

    def __post_init__(self) -> None:
        self._not_before = self._stale_at = self.monotonic()
        self._failures = TransientFailureLog(
            _log, f"the keys of the OIDC provider {self.issuer} can be fetched again"
        )

    @property
    def may_be_incomplete(self) -> bool:
        """Whether an unknown key may belong to the provider nevertheless."""
        return self._is_unavailable or self._fetching.locked()

    def refresh_if_stale(self) -> None:
        """To be called regularly in the background."""
        if self._is_unavailable or self.monotonic() >= self._stale_at:
            self.refresh()

    def refresh(self) -> None:
        """Returns at once if another thread is fetching, or if the cool-down is not over."""
        if not self._fetching.acquire(blocking=False):
            return
        try:
            if self.monotonic() >= self._not_before:
                self._fetch()
        finally:
            self._fetching.release()

    def _fetch(self) -> None:
        try:
            keys = self.fetch()
        except ProviderUnusable as error:
            self._is_unavailable = True
            until_then = (
                "its previous keys stay valid" if self.known else "all of its tokens are refused"
            )
            self._failures.failed(
                f"cannot fetch the keys of the OIDC provider {self.issuer} (OIDC_ISSUER): {error};"
                f" until then {until_then}"
            )
        else:
            if keys != self.known:
                _log.info("keys of the OIDC provider %s: %d", self.issuer, len(keys))
            self.known, self._is_unavailable = keys, False
            self._stale_at = self.monotonic() + FRESH_SECONDS
            self._failures.recovered()
        finally:
            self._not_before = self.monotonic() + COOL_DOWN_SECONDS
