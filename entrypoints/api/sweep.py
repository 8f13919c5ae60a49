import asyncio
import logging
from collections.abc import Callable, Collection
from datetime import timedelta

from application.ports.store.store import StoreFailed, StoreUnavailable

_log = logging.getLogger(__name__)

_LOOKS_PER_INTERVAL = 5


async def run_sweep(expire: Callable[[], Collection[int]], interval: timedelta) -> None:
    """Look for silent servers several times an interval, until cancelled."""
    period = interval.total_seconds() / _LOOKS_PER_INTERVAL
    store_is_away = False
    while True:
        try:
            expired = await asyncio.to_thread(expire)
        except (StoreUnavailable, StoreFailed) as error:
            if not store_is_away:
                cause = str(error.__cause__).partition("\n")[0]
                _log.warning("nobody is declared offline for now: %s (%s)", error, cause)
            store_is_away = True
        except Exception:  # noqa: BLE001
            # Whatever it is, the next look may succeed; without looks nobody is ever offline.
            _log.exception("the look for silent servers failed")
        else:
            if store_is_away:
                _log.info("the store is back")
            store_is_away = False
            for server_id in expired:
                _log.info("server %d is offline: it was silent for too long", server_id)
        await asyncio.sleep(period)
