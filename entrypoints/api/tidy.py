import asyncio
import logging
import random
from collections.abc import Callable
from datetime import timedelta

from application.ports.store.store import StoreFailed, StoreUnavailable

_log = logging.getLogger(__name__)

_PERIOD = timedelta(minutes=1)


async def run_clean_up(tidy: Callable[[], bool], ephemeral_retention: timedelta) -> None:
    """Delete what nobody needs any more about once a minute, until cancelled.

    Often enough for an ephemeral server to be kept for no more than twice its time.
    """
    period = min(_PERIOD, ephemeral_retention).total_seconds()
    while True:
        # APIs that were started together do not all look at once.
        await asyncio.sleep(period * random.uniform(0.5, 1.5))  # nosec B311  # noqa: S311 - no secret
        try:
            while await asyncio.to_thread(tidy):
                pass
        except (StoreUnavailable, StoreFailed):
            # The look for silent servers says so already.
            pass
        except Exception:  # noqa: BLE001
            # Whatever it is, the next try may succeed.
            _log.exception("what nobody needs any more could not be deleted")
