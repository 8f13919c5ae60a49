import asyncio
import logging
from collections.abc import Callable

from application.ports.store.store import StoreFailed, StoreUnavailable

_log = logging.getLogger(__name__)

_PERIOD_SECONDS = 1.0


async def run_propagation(propagate: Callable[[], bool]) -> None:
    """Tell servers of changes on selectors that are not told to all yet, until cancelled.

    Of changes that are for a large fleet, and of those of an API that stopped in the middle of one.
    """
    while True:
        await asyncio.sleep(_PERIOD_SECONDS)
        try:
            while await asyncio.to_thread(propagate):
                pass
        except (StoreUnavailable, StoreFailed):
            # The look for silent servers says so already.
            pass
        except Exception:  # noqa: BLE001
            # Whatever it is, the next try may succeed.
            _log.exception("a change on a selector could not be told to its servers")
